"""What `qingtiao audit` tells people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest
from tiny import labelled_texts, write_csv

from qingtiao.cli import main

APART = [(f"第{n}盘菜{chr(0x4E00 + n * 7) * 4}{chr(0x5E00 + n * 11) * 3}", "好坏"[n % 2]) for n in range(40)]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Standard output of an audit, which leaves with 0 whatever it finds."""
    with pytest.raises(SystemExit) as leaving:
        main(["audit", *arguments])
    captured = capsys.readouterr()
    assert not leaving.value.code, captured.err
    return captured.out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    told: dict[str, object] = json.loads(call(capsys, *arguments, "--json"))
    return told


def save_book(path: Path, sheets: dict[str, list[tuple[str, str]]], *, merge: tuple[str, ...] = ()) -> str:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in [("text", "label"), *rows]:
            sheet.append(row)
        for cells in merge:
            sheet.merge_cells(cells)
    book.save(path)
    return str(path)


def test_a_file_without_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "好.csv"
    lines = ["评论,编号,类别", *(f"{text},{n},{label}" for n, (text, label) in enumerate(APART))]
    path.write_text("\n".join(lines), encoding="gb18030")
    told = call(capsys, str(path)).splitlines()
    assert told[0].split() == ["训练集", "40", "行", f"{path}，gb18030"]
    assert [line.strip() for line in told[1:]] == [
        "文本列 评论；标签列 类别；没有用到 编号",
        "2 种标签：坏 20、好 20",
        "没有发现问题",
    ]
    report = as_json(capsys, str(path))
    assert report["rows"] == {"train": 40}
    assert report["labels"] == {"train": {"坏": 20, "好": 20}}
    assert report["read"] == {
        "train": {
            "source": str(path),
            "encoding": "gb18030",
            "sheet": None,
            "unread_sheets": [],
            "columns": {"text": ["评论"], "label": ["类别"], "unused": ["编号"]},
        }
    }


def test_places_are_shown_and_all_are_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_csv(tmp_path / "a.csv", [*APART, *APART[:7]]))
    told = call(capsys, path)
    shown = "、".join(f"{path}:{42 + n} = {path}:{2 + n}" for n in range(3))
    assert f"    {shown} 等 7 处\n" in told
    assert "--json" in told
    (finding,) = as_json(capsys, path)["findings"]  # type: ignore[misc]
    assert finding["places"] == [{"at": f"{path}:{42 + n}", "twin": f"{path}:{2 + n}"} for n in range(7)]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([(text, "好") for text, _ in APART], "只有一种标签：好"),
        ([*APART, ("只此一条", "稀有")], "稀有（1 行，1 种不同文本）"),
        ([(text, text) for text, _ in APART for _ in range(3)], "太少"),
    ],
)
def test_what_training_would_refuse_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[tuple[str, str]], why: str
) -> None:
    path = str(write_csv(tmp_path / "a.csv", rows))
    told = call(capsys, path)
    assert "✗" in told
    assert why in told
    with pytest.raises(SystemExit) as leaving:
        main(["train", "--data", path, "--out", str(tmp_path / "out")])
    assert leaving.value.code == 2
    refused = capsys.readouterr().err.partition("错误")[2]
    error = as_json(capsys, path)["findings"][0]  # type: ignore[index]
    assert error["code"] == "untrainable"
    assert error["what"]["zh"] in refused
    assert error["fix"]["zh"] in refused


def test_given_splits_are_tried_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A label with two texts cannot be in three splits, but it need not where the splits are given.
    rare = [*APART, ("只有这一条", "稀有"), ("还有那么一句", "稀有")]
    train = str(write_csv(tmp_path / "train.csv", rare))
    held = [str(write_csv(tmp_path / f"{n}.csv", [(f"{n}{text}", lab) for text, lab in APART[:4]])) for n in "乙丙"]
    assert as_json(capsys, train)["findings"][0]["code"] == "untrainable"  # type: ignore[index]
    given = as_json(capsys, train, "--dev", held[0], "--test", held[1])
    assert "untrainable" not in {finding["code"] for finding in given["findings"]}  # type: ignore[attr-defined]
    assert list(given["rows"].items()) == [("train", 42), ("dev", 4), ("test", 4)]  # type: ignore[attr-defined]


def test_a_task_without_classes_is_not_asked_for_two(capsys: pytest.CaptureFixture[str]) -> None:
    told = call(capsys, "samples:seq2seq", "--task", "seq2seq")
    assert "文本列 text；另外用到 summary" in told
    assert "没有发现问题" in told


def test_sheets_that_were_not_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_book(tmp_path / "a.xlsx", {"一月": APART, "二月": APART[:3], "三月": APART[:5]})
    told = call(capsys, path)
    assert f"{path}，表 一月" in told
    assert "只读了表 一月，没有读：二月、三月" in told
    assert f"{path}#二月" in told
    named = call(capsys, f"{path}#一月", "--dev", f"{path}#二月", "--test", f"{path}#三月")
    assert "没有读" not in named
    assert "5 行" in named


def test_merged_labels_are_told_as_the_likely_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_book(tmp_path / "a.xlsx", {"表": APART}, merge=("B2:B21", "B22:B41"))
    with pytest.raises(SystemExit) as leaving:
        main(["audit", path])
    assert leaving.value.code == 2
    told = capsys.readouterr().err
    assert "40 行里有 38 行没有标签" in told
    assert "合并的单元格（B22:B41、B2:B21）" in told


def test_training_and_what_follows_tell_the_same_in_short(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_book(tmp_path / "a.xlsx", {"一月": [*labelled_texts(), labelled_texts()[5]], "二月": APART})
    settings = ["--set", "train.epochs=1", "--set", "base.max_length=32"]
    with pytest.raises(SystemExit) as leaving:
        main(["train", "--data", path, "--base", tiny_base, "--out", str(tmp_path / "out"), *settings])
    assert leaving.value.code == 0
    told = capsys.readouterr().err
    assert "  文本列 text；标签列 label\n" in told
    assert "没有读：二月" in told
    bundle, answers = str(tmp_path / "out" / "bundle"), str(tmp_path / "b.csv")
    for command in (["evaluate", bundle, path], ["predict", bundle, "--input", path, "--output", answers]):
        with pytest.raises(SystemExit):
            main(command)
        assert capsys.readouterr().err.startswith(f"! {path} 只读表 一月，不读：二月。")
    assert f"训练集有 1 条与前面完全相同（0.8%）  {path}:122 = {path}:7\n" in told
