"""What people get wrong: one clear error each, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import labelled_texts, write_csv

from qingtiao.cli import main

Make = Callable[[Path], list[str]]


def train_on(name: str, content: bytes | str, *more: str) -> Make:
    def make(folder: Path) -> list[str]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return ["train", "--data", str(path), "--out", str(folder / "out"), *more]

    return make


def good_data(folder: Path) -> str:
    return str(write_csv(folder / "good.csv", labelled_texts()))


def good(*more: str) -> Make:
    return lambda folder: ["train", "--data", good_data(folder), "--out", str(folder / "out"), *more]


def answers(folder: Path) -> list[str]:
    return ["--input", good_data(folder), "--output", str(folder / "answers.csv")]


ROWS = "".join(f"{text},{label}\n" for text, label in labelled_texts() if "，" not in text)
TEXT = "text,label\n" + ROWS

# Name: how it is called, the exit code, and what the message must name.
CASES: dict[str, tuple[Make, int, str]] = {
    "missing file": (lambda f: ["train", "--data", str(f / "no.csv"), "--out", str(f / "out")], 2, "no.csv"),
    "a folder": (lambda f: ["train", "--data", str(f), "--out", str(f / "out")], 2, "目录"),
    "unknown format": (train_on("a.docx", "x"), 2, "a.docx"),
    "empty file": (train_on("a.csv", ""), 2, "a.csv"),
    "header only": (train_on("a.csv", "text,label\n"), 2, "a.csv"),
    "no header": (train_on("a.csv", ROWS), 2, "a.csv"),
    "missing column": (train_on("a.csv", TEXT, "--label-column", "lable"), 2, "label"),
    "duplicate header": (train_on("a.csv", "text,text\na,b\n"), 2, "text"),
    "too many cells": (train_on("a.csv", "text,label\n好,吃,正\n"), 2, "a.csv:2"),
    "unclosed quote": (train_on("a.csv", 'text,label\n"好吃,正\n' + ROWS), 2, "a.csv"),
    "NUL bytes": (train_on("a.csv", TEXT.replace("很好吃,", "很\0好吃,", 1)), 2, "NUL"),
    "cut utf-8": (train_on("a.csv", TEXT.encode() + b"\xe5\xa5"), 2, "a.csv"),
    "wrong encoding named": (train_on("a.csv", TEXT, "--encoding", "utf-16"), 2, "utf-16"),
    "unknown encoding": (train_on("a.csv", TEXT, "--encoding", "utf-88"), 2, "utf-88"),
    "50 MB line": (train_on("a.csv", "text,label\n" + "好" * 17_000_000 + ",正\n"), 2, "a.csv:2"),
    "cut gzip": (train_on("a.csv.gz", gzip.compress(TEXT.encode() * 50)[:-200]), 2, "a.csv.gz"),
    "not parquet": (train_on("a.parquet", "PAR1 nothing"), 2, "a.parquet"),
    "not xlsx": (train_on("a.xlsx", "PK nothing"), 2, "a.xlsx"),
    "bad jsonl": (train_on("a.jsonl", '{"text":"好","label":"正"}\n{"text":\n'), 2, "a.jsonl:2"),
    "jsonl named json": (train_on("a.json", '{"text":"好","label":"正"}\n{"text":"坏","label":"负"}\n'), 2, ".jsonl"),
    "a sample of too few": (good("--sample", "3"), 2, "--sample 3"),
    "json of a number": (train_on("a.json", "42"), 2, "a.json"),
    "one class": (train_on("a.csv", "text,label\n" + "".join(f"第{i}条很好,正\n" for i in range(30))), 2, "正"),
    "empty labels": (train_on("a.csv", TEXT + "没有标签,\n"), 2, "label"),
    "a class of one row": (train_on("a.csv", TEXT + "孤零零的一条,孤\n"), 2, "孤"),
    "unknown embedded set": (lambda f: ["train", "--data", "embedded:review", "--out", str(f / "out")], 2, "reviews"),
    "unknown prefix": (lambda f: ["train", "--data", "s3:bucket", "--out", str(f / "out")], 2, "s3"),
    "unknown base": (good("--base", "./no/such/base"), 2, "no/such/base"),
    "base out of reach": (good("--base", "nobody/no-such-base"), 3, "nobody/no-such-base"),
    "unknown task": (good("--task", "text_clasification"), 2, "text_classification"),
    "unknown setting": (good("--set", "train.epoch=3"), 2, "epochs"),
    "two mistakes": (good("--set", "train.epochs=0", "--set", "adapter.r=-1"), 2, "adapter.r"),
    "unknown score": (good("--set", "train.metric=f1"), 2, "macro_f1"),
    "column without a name": (good("--column", "text_b="), 2, "text_b="),
    "set without value": (good("--set", "train.epochs"), 2, "train.epochs"),
    "unknown method": (good("--method", "lroa"), 2, "是不是 lora"),
    "unknown option of a method": (good("--method", "dora", "--set", "method.alhpa=8"), 2, "method.alhpa"),
    "a setting that is not the method's": (good("--method", "ia3", "--set", "adapter.r=4"), 2, "adapter.r"),
    "a method that the base cannot use": (good("--method", "prefix_tuning"), 2, "prefix_tuning"),
    "missing config": (good("--config", "no.yaml"), 2, "no.yaml"),
    "no data": (lambda f: ["train", "--out", str(f / "out")], 2, "data.train"),
    "nothing to resume": (lambda f: ["train", "--resume", "--out", str(f / "out")], 2, "out"),
    "out is a file": (lambda f: ["train", "--data", good_data(f), "--out", good_data(f)], 2, "good.csv"),
    "bundle that is none": (lambda f: ["predict", str(f), "好吃"], 2, "qingtiao.json"),
    "nothing to predict": (lambda f: ["predict", str(f)], 2, "--input"),
    "a column for texts": (lambda f: ["predict", str(f), "--column", "a=b", "好吃"], 2, "--column 说的是 --input"),
    "a malformed column for texts": (
        lambda f: ["predict", str(f), "--column", "a", "好吃"],
        2,
        "--column 说的是 --input",
    ),
    "a text column for texts": (lambda f: ["predict", str(f), "好吃", "--text-column", "a"], 2, "--text-column"),
    "an encoding for texts": (lambda f: ["predict", str(f), "好吃", "--encoding", "gbk"], 2, "--encoding"),
    "a text that is not UTF-8": (lambda f: ["predict", str(f), "\udcba\udcc3"], 2, "不是 UTF-8"),
    "a malformed column": (lambda f: ["predict", str(f), "--column", "a", *answers(f)], 2, "角色=列名"),
    "audit of nothing": (lambda f: ["audit", str(f / "no.csv")], 2, "no.csv"),
}


def test_the_list_of_mistakes_is_whole() -> None:
    assert len(CASES) == 52


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    captured = capsys.readouterr()
    return int(leaving.value.code or 0), captured.out + captured.err


@pytest.mark.parametrize("name", sorted(CASES))
def test_one_clear_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    make, code, named = CASES[name]
    arguments = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    left, told = run(arguments, capsys)
    assert left == code, told
    assert "Traceback" not in told
    assert told.count("错误") == 1
    assert told.count("→") == 1
    assert named in told, told
    assert not (tmp_path / "out" / "bundle").exists()
    for path, content in before.items():
        assert path.read_bytes() == content


def test_errors_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["audit", str(tmp_path / "no.csv"), "--json"])
    assert leaving.value.code == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "DataError"
    assert error["todo"]


def test_english_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "en")
    _, told = run(["audit", str(tmp_path / "no.csv")], capsys)
    assert "Error" in told
    assert not any("\u4e00" <= char <= "\u9fff" for char in told)
