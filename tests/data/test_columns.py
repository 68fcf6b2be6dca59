"""Which column is which, and what a label is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qingtiao.data.columns import find_label_column, find_text_column, label_of, text_of, to_rows
from qingtiao.errors import DataError
from qingtiao.types import Place, Record


def records(*rows: dict[str, Any]) -> list[Record]:
    return [Record(fields, Place("a.csv", number)) for number, fields in enumerate(rows, 2)]


_NAMES = ["text", " Text ", "TEXT_A", "\ufeff评论", "评论内容", "ＴＥＸＴ", "review", "Review Text"]


@pytest.mark.parametrize("name", _NAMES)
def test_a_text_column_is_found_by_name(name: str) -> None:
    assert find_text_column(["id", name, "label"], wanted=None, source="a.csv") == name


def test_the_likelier_name_wins_and_a_flag_wins_over_all() -> None:
    names = ["title", "text", "label"]
    assert find_text_column(names, wanted=None, source="a.csv") == "text"
    assert find_text_column(names, wanted="Title", source="a.csv") == "title"
    assert find_label_column(["情感", "星级"], wanted=None, source="a.csv") == "情感"


def test_an_unknown_column_lists_what_there_is_and_the_nearest() -> None:
    with pytest.raises(DataError) as caught:
        find_text_column(["comments_zh", "mark"], wanted="comment_zh", source="a.csv")
    assert "comments_zh？" in caught.value.zh
    assert "comments_zh, mark" in caught.value.todo_en
    with pytest.raises(DataError, match="foo"):
        find_label_column(["foo", "bar"], wanted=None, source="a.csv")


@pytest.mark.parametrize(
    ("cell", "label"),
    [(1, "1"), (1.0, "1"), ("1", "1"), ("1.0", "1"), (" 正面 ", "正面"), (0, "0"), ("0", "0"), (-1, "-1"),
     (True, "true"), (Decimal("2.0"), "2"), (1.5, "1.5"), ("v1.0", "v1.0"), ("1.", "1."),
     (None, ""), (float("nan"), ""), ("  ", "")],
)  # fmt: skip
def test_a_label_is_text(cell: Any, label: str) -> None:
    assert label_of(cell) == label


def test_rows_keep_their_place_and_the_other_columns() -> None:
    (row,) = to_rows(records({"id": 7, "text": "好", "label": 1.0}), text_column=None, label_column=None)
    assert (row.text, row.target, row.place.row, row.fields) == ("好", "1", 2, {"id": 7})


def test_no_records_give_no_rows() -> None:
    assert to_rows([], text_column=None, label_column=None) == []


def test_missing_labels_are_listed_with_their_places() -> None:
    rows = [{"text": f"好{n}", "label": "" if n % 2 else "1"} for n in range(20)]
    with pytest.raises(DataError) as caught:
        to_rows(records(*rows), text_column=None, label_column=None)
    assert "20 行里有 10 行" in caught.value.zh
    assert "a.csv:3、a.csv:5" in caught.value.zh


@pytest.mark.parametrize("names", [("1", "这家店真的很好吃"), ("味道不错下次还会再来的一家店", "正面"), ("0.0", "x")])
def test_a_file_without_a_header_is_noticed(names: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="没有表头"):
        to_rows(records(dict(zip(names, ("1", "差"), strict=True))), text_column=None, label_column=None)


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}, b"x"])
def test_a_list_is_neither_text_nor_label(cell: Any) -> None:
    with pytest.raises(DataError, match=r"a\.csv:2"):
        to_rows(records({"text": "好", "label": cell}), text_column=None, label_column=None)
    with pytest.raises(DataError, match=r"a\.csv:2"):
        text_of(records({"text": cell})[0], "text")


def test_a_null_text_is_an_empty_text_and_a_number_is_its_digits() -> None:
    assert [text_of(r, "text") for r in records({"text": None}, {"text": float("nan")}, {"text": 5})] == ["", "", "5"]
    with pytest.raises(DataError, match="txt"):
        text_of(records({"text": "好"})[0], "txt")
