"""The web page: what it computes, what it says when something is wrong, and how it behaves in a real browser."""

from __future__ import annotations

import csv
import gc
import importlib.util
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from qingtiao.data.read import read_records
from qingtiao.errors import DataError, EnvironmentLack, UserError
from qingtiao.predict import Predictor
from qingtiao.serve import app as serve_app
from qingtiao.serve.answers import answer_file, decorated, result_name, sample_inputs, shown_probabilities
from qingtiao.serve.app import build_app, is_loopback, run_app, serving

gr = pytest.importorskip("gradio", reason="the web page needs qingtiao[app]")

# Gradio leaves event loops to the garbage collector, and uses an option that pandas deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
]

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MARKUP = '很好吃<img src="http://elsewhere.invalid/x.png">'


def function(page: Any, name: str) -> Any:
    """The Python function behind the event of this API name."""
    return next(fn.fn for fn in page.fns.values() if fn.api_name == name)


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    """What Gradio leaves behind is collected here, not during the tests of another file, which it would fail."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def page(predictor: Predictor) -> Any:
    return build_app(predictor)


# --- without a browser -------------------------------------------------------------------------------


def test_the_page_builds_with_examples_of_every_label(page: Any) -> None:
    config = page.get_config_file()
    assert config["title"] == "轻调 Qingtiao"
    labels = [part["props"].get("label") for part in config["components"] if part["type"] == "tabitem"]
    assert labels == ["一条 | One", "一个文件 | A file"]
    examples = next(part["props"]["samples"] for part in config["components"] if part["type"] == "dataset")
    assert len(examples) == 6
    assert page.analytics_enabled is False


def test_examples_can_be_given_or_left_out(predictor: Predictor) -> None:
    def samples(given: list[list[str]]) -> list[list[list[str]]]:
        parts = build_app(predictor, examples=given).get_config_file()["components"]
        return [part["props"]["samples"] for part in parts if part["type"] == "dataset"]

    assert samples([["头疼"], ["脚疼"]]) == [[["头疼"], ["脚疼"]]]
    assert samples([]) == []


def test_labels_take_turns_in_the_examples(predictor: Predictor) -> None:
    gold = {sample["text"]: sample["label"] for sample in predictor.task.samples}
    assert [gold[text] for (text,) in sample_inputs(predictor.task, each=2)] == ["正面", "负面"] * 2


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("正面", "正面👍"),
        ("负面", "负面👎"),
        ("Positive", "Positive👍"),
        ("negative", "negative👎"),
        ("体育", "体育"),
        ("0", "0"),
    ],
)
def test_well_known_labels_get_an_emoji(label: str, shown: str) -> None:
    assert decorated(label) == shown


def test_the_button_gives_probabilities_by_label_name(page: Any, predictor: Predictor) -> None:
    shown, notice = function(page, "predict")("真的很好吃")
    assert set(shown) == {"正面👍", "负面👎"}
    assert sum(shown.values()) == pytest.approx(1)
    assert shown == shown_probabilities(predictor.predict(["真的很好吃"])[0].probabilities)
    assert notice.visible is False


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "空文本"), (None, "空文本"), ("真棒，" * 33, "只读了前 32 个词元")],
    ids=["empty", "none", "long"],
)
def test_what_is_special_is_said(page: Any, text: str | None, words: str) -> None:
    shown, notice = function(page, "predict")(text)
    assert sum(shown.values()) == pytest.approx(1)
    assert notice.visible is True
    assert words in notice.value


@pytest.mark.parametrize(
    ("upload", "answer"),
    [
        ("评论.csv", "评论-qingtiao.csv"),
        ("a b.JSONL.gz", "a_b-qingtiao.jsonl.gz"),
        ("../../etc/passwd", "passwd-qingtiao"),
        ("C:\\x\\<b>.xlsx", "b-qingtiao.xlsx"),
        (".csv", "csv-qingtiao"),
        ("评" * 300 + ".tsv", "评" * 60 + "-qingtiao.tsv"),
    ],
)
def test_the_answer_file_is_named_after_the_upload_and_harmless(upload: str, answer: str) -> None:
    assert result_name(upload) == answer
    assert len(result_name(upload).encode()) < 255


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".csv.gz"])
def test_a_file_is_answered_in_its_own_format(predictor: Predictor, tmp_path: Path, suffix: str) -> None:
    from qingtiao.data.write import write_records

    source = tmp_path / f"评论{suffix}"
    write_records(source, [{"text": "真棒", "n": "1"}, {"text": "真差", "n": "2"}], neutralise=False)
    folder = tmp_path / "answers"
    folder.mkdir()
    seen: list[tuple[int, int | None]] = []
    answer = answer_file(
        predictor, source, folder, text_column=None, on_progress=lambda done, total: seen.append((done, total))
    )
    assert answer.path == folder / f"评论-qingtiao{suffix}"
    assert answer.rows == 2
    assert [done for done, _ in seen] == [2]
    expected = [prediction.label for prediction in predictor.predict(["真棒", "真差"])]
    assert [record.fields["label"] for record in read_records(answer.path)] == expected
    assert sum(rows for _, rows in answer.counts) == 2
    assert answer.header[:3] == ("text", "n", "label")
    assert [row[0] for row in answer.preview] == ["真棒", "真差"]


def test_a_users_mistake_is_told_with_its_way_out_and_without_our_paths(page: Any, tmp_path: Path) -> None:
    source = tmp_path / "坏<i>.csv"
    source.write_text("text\n好\n", encoding="utf-8")
    with pytest.raises(gr.Error) as caught:
        function(page, "predict_file")(str(source), " 没有 ")
    message = caught.value.message
    assert "没有" in message
    assert "→" in message
    assert "坏&lt;i&gt;.csv" in message
    assert str(tmp_path) not in message
    assert caught.value.print_exception is False


def test_no_file_is_a_mistake_too(page: Any) -> None:
    with pytest.raises(gr.Error, match="先选一个文件"):
        function(page, "predict_file")(None, "")


def test_errors_carry_both_languages_and_a_fault_of_ours_stays_here() -> None:
    from qingtiao.serve.page import errors_as_messages

    with pytest.raises(gr.Error) as caught, errors_as_messages():
        raise DataError("坏", "bad", todo_zh="改", todo_en="mend")
    assert caught.value.message == "坏<br>→ 改<br>bad<br>→ mend"
    with pytest.raises(gr.Error) as caught, errors_as_messages():
        raise RuntimeError("secret in /root/x")
    assert "secret" not in caught.value.message
    assert "轻调自己出了错" in caught.value.message


def test_without_gradio_the_way_to_get_it_is_named(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_app.importlib.util, "find_spec", lambda _: None)
    for start in (build_app, run_app):
        with pytest.raises(EnvironmentLack, match=r'pip install "qingtiao\[app\]"'):
            start(predictor)


def test_a_taken_port_is_named(predictor: Predictor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=f"端口 {port} 已被占用") as caught:
            run_app(predictor, port=port)
    assert f"--port {port + 1}" in caught.value.todo


def test_a_host_that_is_not_ours_is_refused(predictor: Predictor) -> None:
    with pytest.raises(UserError, match=r"不能在 192\.0\.2\.1 上监听"):
        run_app(predictor, host="192.0.2.1", port=free_port())


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.2", False), ("a.b", False)],
)
def test_which_hosts_are_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_serving_survives_a_proxy_leaves_nothing_and_restores_the_environment(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    folders: list[Path] = []

    def interrupted() -> None:
        folders.append(Path(os.environ["GRADIO_TEMP_DIR"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(serve_app, "_wait", interrupted)
    run_app(predictor, host="0.0.0.0", port=free_port())
    printed = capsys.readouterr()
    assert "网页：http://" in printed.out
    assert "网络里的任何人" in printed.err
    assert len(folders) == 1
    assert not folders[0].exists()
    assert "GRADIO_TEMP_DIR" not in os.environ


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# --- in a real browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(predictor: Predictor) -> Iterator[tuple[str, set[str]]]:
    """The address of the page, and every host that this process looks up while it is served."""
    hosts: set[str] = set()
    original = socket.getaddrinfo

    def noted(host: Any, *arguments: Any, **options: Any) -> Any:
        hosts.add(host.decode() if isinstance(host, bytes) else str(host))
        return original(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", noted)
        with serving(predictor, port=free_port()) as url:
            yield url, hosts


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("QINGTIAO_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    good, broken = tmp_path / "评论.csv", tmp_path / "坏.xlsx"
    with good.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "stars"], [MARKUP, "5"], ["太难吃", "1"]])
    broken.write_bytes(b"not a workbook")
    return {"good": good, "broken": broken}


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_a_visit(
    served: tuple[str, set[str]], browser: Any, width: int, files: dict[str, Path], screenshots: Path, tmp_path: Path
) -> None:
    url, hosts = served
    tab = browser.new_page(viewport={"width": width, "height": 900}, locale="zh-CN")
    tab.set_default_timeout(20_000)
    requested: set[str | None] = set()
    faults: list[str] = []
    tab.on("request", lambda request: requested.add(urlsplit(request.url).hostname))
    tab.on("pageerror", lambda error: faults.append(str(error)))

    tab.goto(url)
    _classify_a_text(tab, screenshots / f"text-{width}.png")
    _click_an_example(tab)
    _classify_a_file(tab, files["good"], tmp_path / "got.csv", screenshots / f"file-{width}.png")
    _see_a_readable_error(tab, files["broken"], screenshots / f"error-{width}.png")

    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert requested - {None} <= LOOPBACK
    assert hosts <= LOOPBACK
    assert faults == []
    tab.close()


def _classify_a_text(tab: Any, picture: Path) -> None:
    box = tab.get_by_label("文本 | Text")
    box.fill("真棒，喜欢这家店" * 9)
    tab.get_by_role("button", name="判断 | Classify").click()
    tab.get_by_text("只读了前 32 个词元").wait_for()
    answers = tab.locator("[data-testid$='-confidence-set']")
    assert answers.count() == 2
    words = " ".join(answers.all_inner_texts())
    assert "正面👍" in words
    assert "负面👎" in words
    assert words.count("%") == 2
    assert tab.title() == "轻调 Qingtiao"
    tab.wait_for_timeout(700)  # what moves comes to rest
    tab.screenshot(path=str(picture), full_page=True)
    box.fill("")
    box.press("Enter")
    tab.get_by_text("空文本").wait_for()


def _click_an_example(tab: Any) -> None:
    tab.get_by_text("等了一个半小时，端上来的菜是凉的").click()
    tab.get_by_text("空文本").wait_for(state="hidden")
    assert tab.get_by_label("文本 | Text").input_value() == "等了一个半小时，端上来的菜是凉的"


def _classify_a_file(tab: Any, source: Path, copy: Path, picture: Path) -> None:
    tab.get_by_role("tab", name="一个文件 | A file").click()
    tab.locator("input[type=file]").set_input_files(str(source))
    tab.get_by_text(source.name.removesuffix(".csv")).first.wait_for()
    tab.get_by_role("button", name="处理整个文件").click()
    tab.get_by_text("共 2 行 | 2 rows").wait_for()
    tab.get_by_text(MARKUP).wait_for()
    tab.wait_for_timeout(700)  # what moves comes to rest
    tab.screenshot(path=str(picture), full_page=True)
    with tab.expect_download() as waiting:
        tab.get_by_text("下载结果 | Download").click()
    assert waiting.value.suggested_filename == "评论-qingtiao.csv"
    waiting.value.save_as(copy)
    rows = [record.fields for record in read_records(copy)]
    assert [row["text"] for row in rows] == [MARKUP, "太难吃"]
    assert [row["stars"] for row in rows] == ["5", "1"]
    assert {row["label"] for row in rows} <= {"正面", "负面"}


def _see_a_readable_error(tab: Any, broken: Path, picture: Path) -> None:
    tab.get_by_label("清除").click()
    tab.locator("input[type=file]").set_input_files(str(broken))
    tab.get_by_text("坏").first.wait_for()
    tab.get_by_role("button", name="处理整个文件").click()
    toast = tab.get_by_test_id("toast-body")
    toast.wait_for()
    words = toast.inner_text()
    assert "xlsx" in words
    assert "→" in words
    assert "Traceback" not in words
    assert "/tmp" not in words
    assert not tab.get_by_text("下载结果 | Download").is_visible()
    tab.wait_for_timeout(700)  # what moves comes to rest
    tab.screenshot(path=str(picture), full_page=True)
