"""Which column is the text, which the label, and records as rows."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from qingtiao.config import suggestion
from qingtiao.errors import DataError
from qingtiao.types import Place, Record, Row

# The likelier a name is to be meant, the earlier it stands: a file may hold a title and a text.
_TEXT_NAMES = (
    *("text", "text_a", "review", "content", "sentence", "comment", "文本", "评论", "内容", "评价", "句子"),
    *("评论内容", "评价内容", "文本内容", "正文", "评语", "留言", "弹幕", "評論", "內容", "評價"),
    *("reviews", "texts", "comments", "sentences", "review_text", "review_content", "comment_text", "body"),
    *("message", "question", "query", "title", "标题", "標題", "text_b"),
)
_LABEL_NAMES = (
    *("label", "labels", "sentiment", "category", "标签", "类别", "情感", "分类", "標籤", "類別", "分類"),
    *("情感倾向", "情感极性", "情绪", "极性", "class", "target", "polarity", "emotion", "intent", "意图"),
    *("label_name", "tag", "y", "星级", "评分", "star", "stars", "rating", "score"),
)
_MOST_PLACES = 5
_LONG = 12


def find_text_column(names: Sequence[str], *, wanted: str | None, source: str) -> str:
    """The text column: the one named, else the first of the usual names that is there, case and spaces aside.

    Raises:
        DataError: there is none; lists the columns and the nearest.
    """
    return _find(names, wanted, _TEXT_NAMES, source=source, flag="--text-column ", kind=("文本列", "text column"))


def find_column(
    names: Sequence[str], *, wanted: str | None, usual: Sequence[str], source: str, role: str, kind: tuple[str, str]
) -> str:
    """The column of a task's own `role`: the one named, else the first of the `usual` names that is there.

    Raises:
        DataError: there is none; lists the columns and the nearest.
    """
    return _find(names, wanted, usual, source=source, flag=f"--column {role}=", kind=kind)


def find_label_column(names: Sequence[str], *, wanted: str | None, source: str) -> str:
    """The label column, found in the same way.

    Raises:
        DataError: there is none; lists the columns and the nearest.
    """
    return _find(names, wanted, _LABEL_NAMES, source=source, flag="--label-column ", kind=("标签列", "label column"))


def text_of(record: Record, column: str) -> str:
    """The text of a record; a missing or null cell is an empty text.

    Raises:
        DataError: the column is not there, or the cell is a list or an object.
    """
    if column not in record.fields:
        raise _no_column(list(record.fields), column, source=str(record.place), kind=("文本列", "text column"))
    cell = record.fields[column]
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, list | dict | bytes):
        raise DataError(
            f"{record.place} 的 {column} 不是文本，是 {type(cell).__name__}",
            f"{record.place}: {column} is not text but a {type(cell).__name__}",
            todo_zh="用 --text-column 指明文本所在的列。",
            todo_en="Name the column that holds the text with --text-column.",
        )
    return cell if isinstance(cell, str) else str(cell)


def label_of(cell: Any) -> str:
    """A label as text: 1, 1.0 and "1" are one label; names are stripped; nothing becomes an empty text."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float | Decimal) and cell == int(cell):
        return str(int(cell))
    name = unicodedata.normalize("NFC", str(cell)).strip().strip("\ufeff\u200b").strip()
    whole, point, zeros = name.partition(".")
    # "1.0" is what spreadsheet programs and pandas make of 1 once a cell of the column is empty.
    return whole if point and zeros and not zeros.strip("0") and whole.lstrip("+-").isdecimal() else name


def to_rows(records: Iterable[Record], *, text_column: str | None, label_column: str | None) -> list[Row]:
    """Records as rows whose target is the label as text. The remaining columns stay in `fields`.

    Raises:
        DataError: a column is not found, the file seems to have no header, or labels are missing (with places).
    """
    records = iter(records)
    first = next(records, None)
    if first is None:
        return []
    source = first.place.source
    names = list(first.fields)
    if text_column is None and label_column is None:
        _refuse_missing_header(names, first)
    text = find_text_column(names, wanted=text_column, source=source)
    label = find_label_column([n for n in names if n != text], wanted=label_column, source=source)
    rows: list[Row] = []
    unlabelled: list[Place] = []
    for record in chain([first], records):
        target = _label(record, label)
        if not target:
            unlabelled.append(record.place)
        rows.append(Row(text_of(record, text), target, record.place, _others(record.fields, text, label)))
    if unlabelled:
        raise _unlabelled(unlabelled, label, total=len(rows))
    return rows


def texts_of(records: Iterable[Record], *, text_column: str | None) -> list[Row]:
    """Records as rows without targets. The remaining columns stay in `fields`.

    Raises:
        DataError: there is no text column, or a cell of it is no text.
    """
    rows: list[Row] = []
    column = ""
    for record in records:
        column = column or find_text_column(list(record.fields), wanted=text_column, source=record.place.source)
        rows.append(Row(text_of(record, column), None, record.place, _others(record.fields, column)))
    return rows


def _others(fields: Mapping[str, Any], *used: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in used}


def _label(record: Record, column: str) -> str:
    cell = record.fields.get(column)
    if isinstance(cell, list | dict | bytes):
        raise DataError(
            f"{record.place} 的标签是 {type(cell).__name__}：{str(cell)[:60]}",
            f"{record.place}: the label is a {type(cell).__name__}: {str(cell)[:60]}",
            todo_zh="单标签分类每行一个标签；检查 --label-column。",
            todo_en="Classification takes one label a row; check --label-column.",
        )
    try:
        return label_of(cell)
    except (OverflowError, ValueError):  # infinity
        return str(cell)


def _unlabelled(places: Sequence[Place], column: str, *, total: int) -> DataError:
    shown = [str(place) for place in places[:_MOST_PLACES]]
    more = len(places) - len(shown)
    return DataError(
        f"{total} 行里有 {len(places)} 行没有标签（{column} 列为空）：{'、'.join(shown)}" + ("……" if more else ""),
        f"{len(places)} of {total} rows have no label ({column} is empty): {', '.join(shown)}" + (" …" if more else ""),
        todo_zh="补上标签，或者删掉这些行。",
        todo_en="Fill the labels in, or remove these rows.",
    )


def _find(
    names: Sequence[str],
    wanted: str | None,
    usual: Sequence[str],
    *,
    source: str,
    flag: str,
    kind: tuple[str, str],
) -> str:
    plain = {_plain(name): name for name in reversed(names)}
    if wanted is not None:
        if wanted in names or _plain(wanted) in plain:
            return wanted if wanted in names else plain[_plain(wanted)]
        raise _no_column(names, wanted, source=source, kind=kind)
    for name in usual:
        if name in plain:
            return plain[name]
    raise DataError(
        f"{source} 里认不出{kind[0]}；现有的列：{'、'.join(names)}",
        f"No {kind[1]} was recognised in {source}; its columns: {', '.join(names)}",
        todo_zh=f"用 {flag}列名 指明；没有表头的话，在第一行加上 text,label。",
        todo_en=f"Name it with {flag}COLUMN; if there is no header, add text,label on top.",
    )


def _no_column(names: Sequence[str], wanted: str, *, source: str, kind: tuple[str, str]) -> DataError:
    zh, en = suggestion(wanted, names)
    return DataError(
        f"{source} 里没有{kind[0]} {wanted}{zh}",
        f"{source} has no {kind[1]} {wanted}{en}",
        todo_zh=f"现有的列：{'、'.join(names)}",
        todo_en=f"Its columns: {', '.join(names)}",
    )


def _plain(name: str) -> str:
    return (
        unicodedata.normalize("NFKC", name)
        .strip()
        .strip("\ufeff")
        .strip()
        .casefold()
        .replace(" ", "_")
        .replace("-", "_")
    )


def _refuse_missing_header(names: Sequence[str], first: Record) -> None:
    # Two cells, neither a usual name, one of them a bare number or long like a text: data where names should be.
    plain = [_plain(name) for name in names]
    if len(names) != 2 or any(name in _TEXT_NAMES or name in _LABEL_NAMES for name in plain):
        return
    if any(name.lstrip("+-").replace(".", "", 1).isdecimal() or len(name) > _LONG for name in plain):
        shown = " | ".join(name[:30] for name in names)
        raise DataError(
            f"{first.place.source} 好像没有表头：第一行是 {shown}",
            f"{first.place.source} seems to have no header: its first row is {shown}",
            todo_zh="在最上面加一行列名，例如 label,text（顺序同数据）。",
            todo_en="Add a row of column names on top, such as label,text, in the order of the data.",
        )
