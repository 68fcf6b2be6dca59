"""A Hub that does not answer is asked once; a local server, or a port where no one listens, stands for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from qingtiao.data.sources import load_split
from qingtiao.errors import EnvironmentLack
from qingtiao.hub import asked_once, offline
from qingtiao.models.base import load_base

ASKED: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        ASKED.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """One that knows nothing, and answers so."""
    ASKED.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
        yield httpd
        httpd.shutdown()


@pytest.fixture
def no_server(server: ThreadingHTTPServer) -> None:
    """The address of one that has stopped."""
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("server")
def test_a_hub_that_answers_may_be_asked() -> None:
    with asked_once():
        assert not constants.HF_HUB_OFFLINE
    assert ASKED == ["/"]


@pytest.mark.usefixtures("no_server")
def test_a_hub_that_does_not_is_left_alone_inside() -> None:
    before = os.environ.get("HF_HUB_OFFLINE")
    with asked_once():
        assert constants.HF_HUB_OFFLINE and os.environ["HF_HUB_OFFLINE"] == "1"
    assert not constants.HF_HUB_OFFLINE and os.environ.get("HF_HUB_OFFLINE") == before


@pytest.mark.usefixtures("no_server")
def test_what_is_out_of_reach_is_told_without_another_try(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EnvironmentLack, match="qingtiao-tests/nothing"):
        load_base(
            "qingtiao-tests/nothing", revision=None, auto_class="AutoModelForSequenceClassification", model_options={}
        )
    pytest.importorskip("datasets")
    with pytest.raises(EnvironmentLack, match="qingtiao-tests/nothing"):
        list(load_split("hf:qingtiao-tests/nothing", split="train"))
    assert not [record for record in caplog.records if "etrying" in record.getMessage()]


def test_offline_gives_back_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with offline():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE and "HF_HUB_OFFLINE" not in os.environ
