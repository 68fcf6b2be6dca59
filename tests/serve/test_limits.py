"""What strangers may send: requests up to a size, images inside them, never paths of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qingtiao.data.normalise import Normaliser
from qingtiao.errors import UserError
from qingtiao.predict import Predictor
from qingtiao.serve import api as serve_api
from qingtiao.serve.answers import answer_file
from qingtiao.serve.api import build_api
from qingtiao.serve.fields import only_uploads
from qingtiao.task import find_task

testclient = pytest.importorskip("fastapi.testclient", reason="HTTP needs qingtiao[serve]")


@pytest.fixture
def small(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(serve_api, "LARGEST_REQUEST", 2**20)
    return testclient.TestClient(build_api(predictor))


def chunks(total: int) -> Iterator[bytes]:
    yield b'{"inputs": ["'
    for _ in range(total // 2**16):
        yield b"a" * 2**16
    yield b'"]}'


def test_a_request_within_the_limit_is_answered(small: Any) -> None:
    told = small.post("/predict", content=chunks(2**18), headers={"content-type": "application/json"})
    assert told.status_code == 200 and len(told.json()["answers"]) == 1


@pytest.mark.parametrize("declared", [True, False])
def test_a_larger_one_is_refused_whether_it_says_so_or_not(small: Any, declared: bool) -> None:
    body = b"".join(chunks(2**21)) if declared else chunks(2**21)
    told = small.post("/predict", content=body)
    assert told.status_code == 413
    assert told.json()["error"]["en"] == "The request is larger than 1 MiB"
    assert small.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/predict", b"abc", 422, '{"inputs": [...]}'),
        ("POST", "/predict", b"", 422, '{"inputs": [...]}'),
        ("POST", "/predict", '["好吃"]'.encode(), 422, '{"inputs": [...]}'),
        ("POST", "/predict", '{"text": "好吃"}'.encode(), 422, '{"inputs": [...]}'),
        ("POST", "/speak", b"[" * 100_000, 400, "POST /speak"),
        ("POST", "/predict", b'{"inputs": ["\xff"]}', 400, "POST /predict"),
        ("GET", "/predict", b"", 405, "GET /predict"),
        ("GET", "/", b"", 404, "GET /"),
    ],
)
def test_every_refusal_has_one_shape(small: Any, method: str, path: str, body: bytes, status: int, says: str) -> None:
    told = small.request(method, path, content=body, headers={"content-type": "application/json"})
    assert told.status_code == status
    assert set(told.json()["error"]) == {"kind", "zh", "en", "todo_zh", "todo_en"}
    assert says in told.json()["error"]["en"]


@pytest.fixture
def pictures() -> Any:
    """Stands in for a predictor: what is refused never reaches a model."""
    kind = find_task("image_text")
    task = kind.fit(
        kind.parse(_records(kind.samples), options=kind.Options(), columns={}, labelled=True), kind.Options()
    )
    return SimpleNamespace(task=task, normaliser=Normaliser)


def _records(samples: Any) -> Any:
    from qingtiao.types import Place, Record

    return [Record(dict(sample), Place("memory", number)) for number, sample in enumerate(samples, start=1)]


@pytest.mark.parametrize("image", ["/etc/passwd", "a.png", "file:///etc/passwd", "http://elsewhere.invalid/a.png"])
def test_images_are_sent_never_named(pictures: Any, image: str) -> None:
    for one in (image, {"image": image}):
        with pytest.raises(UserError, match="第 1 条的 image"):
            only_uploads(pictures.task, [one])
    sent = {"image": pictures.task.samples[0]["image"]}
    assert only_uploads(pictures.task, [sent]) == [sent]


def test_an_uploaded_file_may_hold_images_and_not_name_them(pictures: Any, tmp_path: Path) -> None:
    upload = tmp_path / "in.jsonl"
    inside = {"image": pictures.task.samples[0]["image"]}
    upload.write_text("\n".join(json.dumps(one) for one in (inside, {"image": "/etc/hostname"})), encoding="utf-8")
    with pytest.raises(UserError, match="第 2 行的 image"):
        answer_file(pictures, upload, tmp_path, text_column=None, on_progress=lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_pictures_to_click_on_become_files_that_a_browser_shows(pictures: Any) -> None:
    gr = pytest.importorskip("gradio", reason="the web page needs qingtiao[app]")
    from PIL import Image

    from qingtiao.serve.answers import sample_inputs
    from qingtiao.serve.fields import form_fields
    from qingtiao.serve.page import _box, _clickable

    fields = form_fields(pictures.task)
    assert [type(_box(field)) for field in fields] == [gr.Image, gr.Textbox]
    assert len(sample_inputs(pictures.task)) == 2 * len(pictures.task.labels) == 12
    sample = pictures.task.samples[0]["image"]
    path, candidates = _clickable(fields, [gr.Image(), gr.Textbox()], [sample, "圆\n方块"])
    assert candidates == "圆\n方块"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (16, 16))
        assert image.getpixel((8, 8)) == (214, 40, 40)
    assert Path(gr.Image().GRADIO_CACHE).resolve() in Path(path).resolve().parents
