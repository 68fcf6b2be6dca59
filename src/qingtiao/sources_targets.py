"""Rows of a text and what is to be written from it: how both are found, read and refused."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from qingtiao.data.columns import find_column, text_of
from qingtiao.errors import DataError
from qingtiao.models.encoder_decoder import texts_of_ids
from qingtiao.types import Record, References, Row

# The likelier a name is to be meant, the earlier it stands. What is a source in one file is a target in another
# (an abstract, either language of a pair): the target is looked for among the columns that are left.
_SOURCES = (
    *("text", "source", "原文", "content", "正文", "文本", "内容", "article", "文章", "document", "body", "input"),
    *("src", "sentence", "句子", "abstract", "摘要", "zh", "中文", "chinese", "en", "英文", "english"),
)
_TARGETS = (
    *("target", "summary", "摘要", "translation", "译文", "翻译", "title", "标题", "headline", "output", "tgt"),
    *("reference", "参考", "answer", "答案", "keywords", "关键词", "abstract", "en", "英文", "english"),
    *("zh", "中文", "chinese"),
)
_MOST_PLACES = 5
# A full stop between digits or before a letter of a name ends nothing; in Chinese papers it ends sentences.
_SENTENCE_END = re.compile(r"(?<=[。！？!?\n])|(?<=[^\d\s]\.)(?=[\s\u3400-\u9fff]|[A-Z])")


def source_rows(records: Iterable[Record], *, columns: Mapping[str, str], separator: str, labelled: bool) -> list[Row]:
    """Rows whose target is `References`, None without `labelled`.

    Columns are found by name unless `columns` tells those of `text` and `target`. A cell that holds a list is several
    references; one, put together by `separator`, where that is not empty.

    Raises:
        DataError: a column is not found, or rows hold no target.
    """
    records = iter(records)
    first = next(records, None)
    if first is None:
        return []
    source = _column(first, columns, "text", used=())
    target = _column(first, columns, "target", used=(source,)) if labelled else None
    rows = [_row(record, source, target, separator) for record in chain([first], records)]
    if target is not None:
        refuse_untold(rows, target)
    return rows


def _column(first: Record, columns: Mapping[str, str], role: str, *, used: tuple[str, ...]) -> str:
    usual, kind = (_SOURCES, ("原文列", "source column")) if role == "text" else (_TARGETS, ("目标列", "target column"))
    return find_column(
        [name for name in first.fields if name not in used],
        wanted=columns.get(role),
        usual=usual,
        source=first.place.source,
        role=role,
        kind=kind,
    )


def _row(record: Record, source: str, target: str | None, separator: str) -> Row:
    others = {name: value for name, value in record.fields.items() if name not in (source, target)}
    gold = None if target is None else _told(record, target, separator)
    return Row(text_of(record, source), gold, record.place, others)


def _told(record: Record, column: str, separator: str) -> References:
    """The texts of the cell that are not blank, several where it holds a list."""
    cell = record.fields.get(column)
    several = [str(one).strip() for one in cell if one is not None] if isinstance(cell, list | tuple) else None
    if several is None:
        several = [text_of(record, column).strip()]
    several = [one for one in several if one]
    return References([separator.join(several)] if separator and several else several)


def refuse_untold(rows: Sequence[Row], column: str) -> None:
    untold = [row.place for row in rows if not row.target]
    if not untold:
        return
    shown = [str(place) for place in untold[:_MOST_PLACES]]
    more = len(untold) > _MOST_PLACES
    raise DataError(
        f"{len(rows)} 行里有 {len(untold)} 行没有目标文本（{column} 列为空）：{'、'.join(shown)}"
        + ("……" if more else ""),
        f"{len(untold)} of {len(rows)} rows have no target text ({column} is empty): {', '.join(shown)}"
        + (" …" if more else ""),
        todo_zh="补上目标，删掉这些行，或者用 --column target=列名 指明目标列。",
        todo_en="Fill them in, remove these rows, or name the target column with --column target=COLUMN.",
    )


def refuse_lost_spaces(rows: Sequence[Row], targets: Sequence[Sequence[int]], tokenizer: Any) -> None:
    """A tokenizer made for Chinese may forget where words end: what it writes in English nobody could read."""
    for row, ids in zip(rows, targets, strict=True):
        if " " in row.target[0].strip():
            (back,) = texts_of_ids([np.array(ids)], tokenizer)
            if " " in back:
                return
            raise DataError(
                f"{row.place}：基座的分词器写不出词间的空格，“{row.target[0][:40]}”会变成“{back[:40]}”",
                f'{row.place}: the tokenizer of this base cannot write spaces: "{row.target[0][:40]}" would become'
                f' "{back[:40]}"',
                todo_zh="目标不是中文时，换 mT5、mBART 一类的多语言基座；或者把两列对调，往中文写。",
                todo_en="For targets that are not Chinese take a multilingual base such as mT5 or mBART;"
                " or exchange the columns and write Chinese.",
            )


def references(rows: Sequence[Row]) -> list[list[str]]:
    """What is right for each row: all targets of all rows that ask the same."""
    by_text: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        by_text[row.text].update(dict.fromkeys(row.target))
    return [list(by_text[row.text]) for row in rows]


def first_sentence(text: str) -> str:
    return next((part.strip() for part in _SENTENCE_END.split(text) if part.strip()), "")
