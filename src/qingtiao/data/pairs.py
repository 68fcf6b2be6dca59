"""Records that hold two texts, as rows: which column is the first, which the second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from qingtiao.data.columns import find_column, text_of, texts_of, to_rows
from qingtiao.errors import DataError
from qingtiao.types import Record, Row

# The likelier a name is to be meant, the earlier it stands.
_FIRST = (
    *("text", "text_a", "text1", "sentence1", "sentence_a", "premise", "question1", "query1", "q1", "s1"),
    *("sentence", "query", "question", "文本", "文本一", "文本1", "句子", "句子一", "句子1", "前提", "问题"),
)
_SECOND = (
    *("text_b", "text2", "sentence2", "sentence_b", "hypothesis", "question2", "query2", "q2", "s2"),
    *("文本二", "文本2", "句子二", "句子2", "假设"),
)


def pairs_of(records: Iterable[Record], *, columns: Mapping[str, str], labelled: bool) -> list[Row]:
    """Records as rows of two parts, with the label as target where `labelled`. Other columns stay in `fields`.

    Args:
        columns: role (`text`, `text_b`, `label`) to column, for those that are not to be found by name.

    Raises:
        DataError: a column is not found, a cell is no text, or labels are missing (with places).
    """
    records = iter(records)
    head = next(records, None)
    if head is None:
        return []
    names, source = list(head.fields), head.place.source
    second = _second(names, columns.get("text_b"), source)
    first = _first([name for name in names if name != second], columns.get("text"), source)
    rest = chain([head], records)
    if labelled:
        rows = to_rows(rest, text_column=first, label_column=columns.get("label"))
    else:
        rows = texts_of(rest, text_column=first)
    return [with_second(row, second) for row in rows]


def second_column(names: Sequence[str], wanted: str | None, *, source: str) -> str | None:
    """The column of the second text; None where there is none and none was named.

    Raises:
        DataError: the one that was named is not there.
    """
    try:
        return _second(names, wanted, source)
    except DataError:
        if wanted is not None:
            raise
        return None


def first_column(names: Sequence[str], wanted: str | None, *, source: str) -> str:
    """The column of the first text of two. Raises DataError when there is none."""
    return _first(names, wanted, source)


def with_second(row: Row, column: str) -> Row:
    """The row with the text of `column` as its second part.

    Raises:
        DataError: the row has no such column, or it holds no text.
    """
    second = text_of(Record(row.fields, row.place), column)
    fields = {name: value for name, value in row.fields.items() if name != column}
    return replace(row, fields=fields).with_parts([row.text, second])


def _first(names: Sequence[str], wanted: str | None, source: str) -> str:
    kind = ("第一段文本的列", "column of the first text")
    return find_column(names, wanted=wanted, usual=_FIRST, source=source, role="text", kind=kind)


def _second(names: Sequence[str], wanted: str | None, source: str) -> str:
    kind = ("第二段文本的列", "column of the second text")
    return find_column(names, wanted=wanted, usual=_SECOND, source=source, role="text_b", kind=kind)
