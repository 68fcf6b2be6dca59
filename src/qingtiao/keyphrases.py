"""Keywords of a text: as they stand in files, when two are the same, how they are counted, and what costs nothing.

Nothing here depends on how keywords are found: a task that marks them in the text and one that writes them share it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qingtiao.answers import Keywords
from qingtiao.data.columns import find_column, text_of
from qingtiao.data.marks import Mark
from qingtiao.errors import DataError
from qingtiao.evaluate.dictionary import Dictionary
from qingtiao.evaluate.measures import Measure, f1_of, mean_of
from qingtiao.evaluate.metrics import Floats
from qingtiao.evaluate.phrases import KnownPhrases, PhraseRanker
from qingtiao.types import Record, Row

_TEXT = ("text", "abstract", "content", "摘要", "正文", "文本", "内容", "article", "document", "sentence")
_KEYWORDS = ("keywords", "keyword", "keyphrases", "关键词", "关键字", "主题词", "tags", "labels", "label", "标签")
_SEPARATORS = re.compile(r"[、，,；;|\n\t]+")
_LABEL = "KEY"

Ranker = Callable[[Sequence[Row]], list[Keywords]]


def read_keywords(records: Iterable[Record], *, columns: Mapping[str, str], labelled: bool) -> list[Row]:
    """Records as rows whose targets are tuples of keywords, each once. A text may have none.

    A cell is a list, JSON, or words with 、，,；;| between them.

    Raises:
        DataError: a column is not found, or a cell holds something else; with the place.
    """
    rows: list[Row] = []
    text = words = ""
    for record in records:
        if not rows:
            names, source = list(record.fields), record.place.source
            text = find_column(
                names,
                wanted=columns.get("text"),
                usual=_TEXT,
                source=source,
                role="text",
                kind=("文本列", "text column"),
            )
            if labelled:
                words = find_column(
                    names,
                    wanted=columns.get("keywords", columns.get("label")),
                    usual=_KEYWORDS,
                    source=source,
                    role="keywords",
                    kind=("关键词列", "column of keywords"),
                )
        target = _words(record, words) if labelled else None
        rows.append(Row(text_of(record, text), target, record.place))
    return rows


def _words(record: Record, column: str) -> tuple[str, ...]:
    cell: Any = record.fields.get(column)
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.lstrip().startswith("[") else _SEPARATORS.split(cell)
        except ValueError:
            cell = _SEPARATORS.split(cell)
    cell = [] if cell is None else cell
    if not isinstance(cell, list | tuple) or not all(isinstance(word, str) for word in cell):
        raise DataError(
            f"{record.place} 的 {column} 不是关键词：{str(cell)[:60]!r}",
            f"{record.place}: {column} holds no keywords: {str(cell)[:60]!r}",
            todo_zh='写成 ["深度学习", "图像分割"]，或 深度学习、图像分割。',
            todo_en='Write ["deep learning", "segmentation"], or separate them by commas.',
        )
    return distinct(cell)


def normal_form(word: str) -> str:
    """What two spellings of one keyword share: width, case and spaces aside."""
    return "".join(unicodedata.normalize("NFKC", word).casefold().split())


def distinct(words: Iterable[str]) -> tuple[str, ...]:
    """Each keyword once, in order, as it is spelt first; empty ones out."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(normal_form(word), word.strip())
    return tuple(word for form, word in first.items() if form)


def folded(text: str) -> str:
    """The text in lower case and half width, as long as it was: what does not stay one character stays as it is."""
    plain = (unicodedata.normalize("NFKC", char).lower() for char in text)
    return "".join(new if len(new) == 1 else old for new, old in zip(plain, text, strict=True))


def occurrences(text: str, words: Iterable[str]) -> tuple[Mark, ...]:
    """Where the keywords stand in the text, longer ones first; Latin ones as whole words only."""
    entries = {folded(word): _LABEL for word in words if word}
    plain = folded(text)
    found = Dictionary(entries, max(map(len, entries), default=0)).find(plain)
    return tuple(
        Mark(mark.start, mark.end, _LABEL, text[mark.start : mark.end])
        for mark in found
        if not _inside_a_word(plain, mark.start) and not _inside_a_word(plain, mark.end)
    )


def _inside_a_word(text: str, edge: int) -> bool:
    return 0 < edge < len(text) and all("a" <= char <= "z" for char in text[edge - 1 : edge + 1])


def counts(answers: Sequence[Iterable[str]], rows: Sequence[Row]) -> Floats:
    """For each row: right, said, gold, its own F1, and 1; shape (rows, 5). Right is the same `normal_form`."""
    table = np.zeros((len(rows), 5))
    for row, (said, wanted) in enumerate(zip(answers, (row.target for row in rows), strict=True)):
        found, gold = ({normal_form(word) for word in words} for words in (said, wanted or ()))
        whole = len(found) + len(gold)
        right = len(found & gold)
        table[row] = right, len(found), len(gold), 2 * right / whole if whole else 1.0, 1
    return table


KEYWORD_MEASURES = (
    Measure("f1_at_k", "关键词 F1@k", "keyword F1@k", f1_of(0, 1, 2)),
    Measure("precision_at_k", "关键词准确率@k", "keyword precision@k", mean_of(0, 1)),
    Measure("recall_at_k", "关键词召回率@k", "keyword recall@k", mean_of(0, 2)),
    Measure("f1_by_text", "每篇 F1@k 的平均", "F1@k averaged over texts", mean_of(3, 4)),
)


def keyword_baselines(rows: Sequence[Row], *, most: int) -> dict[str, Ranker]:
    """TF-IDF phrases, and the keywords of the training rows that stand in the text; `most` of either."""
    texts = [folded(row.text) for row in rows]
    ranker = PhraseRanker.fit(texts)
    known = KnownPhrases.fit(texts, [[folded(word) for word in row.target or ()] for row in rows])

    def answering(rank: Callable[..., list[tuple[str, float]]]) -> Ranker:
        return lambda asked: [_keywords(rank(folded(row.text), most=most)) for row in asked]

    return {"phrases": answering(ranker.rank), "dictionary": answering(known.rank)}


def _keywords(ranked: Sequence[tuple[str, float]]) -> Keywords:
    return Keywords(tuple(word for word, _ in ranked), tuple(score for _, score in ranked))
