"""Workbooks of several sheets, with merged cells, and as they come from offices."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import openpyxl
import pytest

from qingtiao.data.given import explained
from qingtiao.data.read import FileFacts, file_facts
from qingtiao.data.sources import facts_of, load_split
from qingtiao.errors import DataError

HEADER = ["text", "label"]


def workbook(
    path: Path, sheets: Mapping[str, Sequence[Sequence[str]]], *, merge: Mapping[str, str] | None = None
) -> str:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        if merge and title in merge:
            sheet.merge_cells(merge[title])
    book.save(path)
    return str(path)


@pytest.fixture
def months(tmp_path: Path) -> str:
    sheets = {"封面": [], "一月": [HEADER, ["好吃", "1"]], "二月": [HEADER, ["难吃", "0"], ["好喝", "1"]], "空": []}
    return workbook(tmp_path / "a.xlsx", sheets)


def texts(source: str) -> list[str]:
    return [record.fields["text"] for record in load_split(source, split="train")]


def test_the_first_sheet_that_holds_anything_is_read_and_the_rest_is_told(months: str) -> None:
    assert texts(months) == ["好吃"]
    assert facts_of(months) == FileFacts(None, "一月", ("二月",))


def test_a_sheet_can_be_named(months: str) -> None:
    assert texts(f"{months}#二月") == ["难吃", "好喝"]
    assert [str(record.place) for record in load_split(f"{months}#二月", split="train")] == [
        f"{months}#二月:2",
        f"{months}#二月:3",
    ]
    packed = Path(months).with_suffix(".xlsx.gz")
    packed.write_bytes(gzip.compress(Path(months).read_bytes()))
    assert texts(f"{packed}#二月") == ["难吃", "好喝"]


def test_a_sheet_that_is_not_there_is_named_with_those_that_are(months: str) -> None:
    with pytest.raises(DataError, match="没有表 三月，是不是") as caught:
        texts(f"{months}#三月")
    assert caught.value.todo_zh == "现有的表：封面、一月、二月、空"


def test_a_file_that_bears_such_a_name_is_itself(tmp_path: Path) -> None:
    odd = workbook(tmp_path / "a.xlsx#二月.xlsx", {"s": [HEADER, ["好吃", "1"]]})
    assert texts(odd) == ["好吃"]


def test_other_files_have_an_encoding_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n这家店的味道真的很好,1\n", encoding="gb18030")
    assert file_facts(path) == FileFacts("gb18030")
    assert facts_of("embedded:reviews") == FileFacts()


@pytest.mark.parametrize("first", [[HEADER], [["本表由教务处导出"]]])
def test_where_the_rows_may_be_is_told(tmp_path: Path, first: list[list[str]]) -> None:
    path = workbook(tmp_path / "a.xlsx", {"说明": first, "数据": [HEADER, ["好吃", "1"]]})
    with pytest.raises(DataError, match="只有表头") as caught, explained(path):
        texts(path)
    assert f"{path}#数据" in caught.value.todo_zh
    assert f"{path}#数据" in caught.value.todo_en


def test_a_merged_title_is_told_as_the_likely_cause(tmp_path: Path) -> None:
    rows = [["一月的评论"], HEADER, ["好吃", "1"]]
    path = workbook(tmp_path / "a.xlsx", {"表": rows}, merge={"表": "A1:B1"})
    with pytest.raises(DataError, match="格子比表头多") as caught, explained(path):
        texts(path)
    assert "合并的单元格（A1:B1）" in caught.value.todo_zh
    assert "merged cells (A1:B1)" in caught.value.todo_en


def test_errors_of_plain_files_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n", encoding="utf-8")
    with pytest.raises(DataError) as bare:
        texts(str(path))
    with pytest.raises(DataError) as told, explained(str(path)):
        texts(str(path))
    assert told.value.args == bare.value.args
