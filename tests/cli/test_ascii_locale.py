"""A locale of plain ASCII with Python's UTF-8 mode off: Chinese arguments, file names and answers work all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import labelled_texts, write_csv

from qingtiao.cli import main
from qingtiao.data.read import read_records

pytestmark = [
    pytest.mark.slow,  # a process for each call
    pytest.mark.skipif(sys.platform == "win32", reason="file names are no bytes there"),
]

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TEXTS = ["真好吃", "真差"]


def command(*arguments: str | bytes) -> list[str | bytes]:
    return [sys.executable, "-m", "qingtiao", *arguments]


def run(folder: Path, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **PLAIN}
    return subprocess.run(
        command(*arguments), env=environment, cwd=folder, capture_output=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def bundle(tiny_base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("训练")
    data = write_csv(folder / "data.csv", labelled_texts())
    settings = ["--set", "train.epochs=1", "--set", "base.max_length=32"]
    with pytest.raises(SystemExit) as leaving:
        main(["train", "--data", str(data), "--base", tiny_base, "--out", str(folder / "out"), *settings])
    assert not leaving.value.code
    return str(folder / "out" / "bundle")


def test_the_locale_is_one_that_python_takes_for_ascii() -> None:
    ask = [sys.executable, "-c", "import sys; print(ascii(sys.argv[1]), sys.getfilesystemencoding())", "好"]
    told = subprocess.run(ask, env={**os.environ, **PLAIN}, capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.split() == [r"'\udce5\udca5\udcbd'", "ascii"]


def test_texts_are_read_and_answers_written(bundle: str, tmp_path: Path) -> None:
    told = run(tmp_path, "predict", bundle, *TEXTS, "--json")
    assert told.returncode == 0, told.stderr.decode()
    answers = json.loads(told.stdout.decode("utf-8"))
    assert [answer["text"] for answer in answers] == TEXTS
    assert [answer["notice"] for answer in answers] == [None, None]  # none was taken for empty


def test_files_with_chinese_names(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "评论.csv").write_text("text\n真好吃\n", encoding="utf-8")
    told = run(tmp_path, "predict", bundle, "--input", "评论.csv", "--output", "结果.csv")
    assert (told.returncode, told.stdout.decode("utf-8")) == (0, "1 行，写入 结果.csv\n"), told.stderr.decode()
    assert [record.fields["text"] for record in read_records(tmp_path / "结果.csv")] == ["真好吃"]
    told = run(tmp_path, "audit", "没有.csv")
    assert told.returncode == 2
    assert "没有文件 没有.csv" in told.stderr.decode("utf-8")


def test_a_terminal_is_shown_chinese(tmp_path: Path) -> None:
    import pty  # which Windows lacks

    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        command("audit", "没有.csv"), env={**os.environ, **PLAIN}, cwd=tmp_path, stdout=theirs, stderr=theirs
    )
    assert asked.wait(timeout=120) == 2
    os.close(theirs)
    told = os.read(ours, 1 << 16).decode("utf-8")
    os.close(ours)
    assert "没有文件 没有.csv" in told


def test_what_is_not_utf8_is_refused(tmp_path: Path) -> None:
    told = run(tmp_path, "predict", str(tmp_path), "好吃".encode("gbk"))
    assert told.returncode == 2
    assert "不是 UTF-8" in told.stderr.decode("utf-8")
