"""Marked pieces of text as BIO tags and back, and how they are counted.

Tags are numbered 0 for O, then 1 + 2k for B and 2 + 2k for I of the k-th label. Arrays named `table` are those of
`models.pieces.by_character`: shape (characters, 1 + tags), the first column 1 where a piece begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qingtiao.data.marks import Mark, marks_of
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.metrics import Floats, Ints, ratio
from qingtiao.types import Row

OUTSIDE = 0
Table = NDArray[np.float32]
_READ = "read"


class Marked(Protocol):
    """A `Mark` of the data or a `Span` of an answer."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def label(self) -> str: ...


def read_as(row: Row, normaliser: Normaliser) -> Row:
    """The row with what the model is to read of it in `fields`; its text stays as given, since offsets count in it.

    The normaliser is applied character by character, and only where one becomes one: full width becomes half width,
    traditional simplified, what cannot be seen a space, while runs and links stay.
    """
    if not normaliser(row.text):
        return replace(row, text="", target=None if row.target is None else ())
    # Spaces and invisible characters come out empty, and are a space to every tokenizer.
    cleaned = {char: normaliser(char) or " " for char in set(row.text)}
    read = row.text.translate({ord(char): to for char, to in cleaned.items() if len(to) == 1})
    return replace(row, fields={_READ: read})


def refuse_slipped(row: Row) -> None:
    """Raises DataError when the marks no longer fit the text, which cleaning has repaired."""
    lost = next((mark for mark in marks_of(row) if row.text[mark.start : mark.end] != mark.text), None)
    if lost is not None:
        raise DataError(
            f"{row.place}：清洗修复了这一行的乱码，标注 {lost} 的位置对不上了",
            f"{row.place}: cleaning repaired this text, and the offsets of {lost} no longer fit",
            todo_zh="先修好这一行的文本和位置，或者删掉它。",
            todo_en="Repair the text and the offsets of this row first, or remove it.",
        )


def text_read(row: Row) -> str:
    """What the model reads of a row: as long as its text, character by character."""
    return str(row.fields.get(_READ, row.text))


def token_tags(starts: Sequence[int], text: str, marks: Iterable[Mark], labels: Sequence[str]) -> list[int]:
    """`piece_tags` for every token of a feature: -100 where a token begins no character (see `models.pieces`)."""
    begun = [index for index, start in enumerate(starts) if start >= 0]
    tags = [-100] * len(starts)
    for index, tag in zip(begun, piece_tags([starts[i] for i in begun], text, marks, labels), strict=True):
        tags[index] = tag
    return tags


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """O, then B and I of each label."""
    return ("O", *(f"{prefix}-{label}" for label in labels for prefix in "BI"))


def piece_tags(starts: Sequence[int], text: str, marks: Iterable[Mark], labels: Sequence[str]) -> list[int]:
    """The tag of each piece, given where the pieces begin.

    A piece of which a mark covers half or more is the mark's. Pieces of one character each lose nothing; one that
    crosses the edge of a mark moves that edge to its own.
    """
    ends = [start + max(1, len(text[start:end].rstrip())) for start, end in _extents(starts, len(text))]
    tags = [OUTSIDE] * len(ends)
    at = 0
    for mark in marks:
        first = True
        while at < len(starts) and ends[at] <= mark.start:
            at += 1
        piece = at
        while piece < len(starts) and starts[piece] < mark.end:
            covered = min(ends[piece], mark.end) - max(starts[piece], mark.start)
            if 2 * covered >= ends[piece] - starts[piece] and tags[piece] == OUTSIDE:
                tags[piece] = 1 + 2 * labels.index(mark.label) + (0 if first else 1)
                first = False
            piece += 1
    return tags


def _extents(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    return list(zip(starts, [*starts[1:], length], strict=True)) if len(starts) else []


def marks_of_tags(tags: Sequence[int], starts: Sequence[int], text: str, labels: Sequence[str]) -> tuple[Mark, ...]:
    """Tags of pieces as marks; spaces at the ends are left out. An I that continues nothing is passed over."""
    found: list[Mark] = []
    begun: tuple[int, int] | None = None  # first piece and label
    extents = _extents(starts, len(text))
    for index, tag in enumerate([*tags, OUTSIDE]):
        if begun is not None and tag != 2 + 2 * begun[1]:
            piece = text[extents[begun[0]][0] : extents[index - 1][1]].rstrip()
            found.append(Mark(extents[begun[0]][0], extents[begun[0]][0] + len(piece), labels[begun[1]], piece))
            begun = None
        if tag % 2 == 1:
            begun = (index, tag // 2)
    return tuple(found)


def best_tags(emissions: Floats) -> Ints:
    """The likeliest valid sequence: I follows only B or I of its own label.

    Args:
        emissions: log-probabilities or logits, (pieces, tags).

    Source: Viterbi 1967, with transitions that are either allowed or not.
    """
    count = len(emissions)
    if not count:
        return np.zeros(0, dtype=np.int64)
    score = emissions[0].astype(np.float64)
    score[2::2] = -np.inf
    inside = np.arange(emissions.shape[1])[2::2]
    came = np.zeros(emissions.shape, dtype=np.int64)
    for index in range(1, count):
        came[index] = score.argmax()
        came[index, 2::2] = np.where(score[2::2] >= score[1::2], inside, inside - 1)
        score = score[came[index]] + emissions[index]
    path = np.zeros(count, dtype=np.int64)
    path[-1] = score.argmax()
    for index in range(count - 1, 0, -1):
        path[index - 1] = came[index, path[index]]
    return path


def starts_of(table: Table) -> list[int]:
    """The characters at which pieces begin."""
    begun: list[int] = np.flatnonzero(table[:, 0] > 0.5).tolist()
    return begun


def log_probabilities(table: Table, starts: Sequence[int]) -> Floats:
    """Of the tags of each piece, (pieces, tags), in float64."""
    logits = table[list(starts), 1:].astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


# Spans less likely than this are not looked at: they would be far behind anything that is answered.
_LEAST = 1e-3


def likely_spans(table: Table, text: str, label: str) -> Iterator[tuple[Mark, float]]:
    """Every span that is no wonder, overlapping ones too, with the product of the probabilities of its tags.

    For one label: B where it begins, I as far as it goes, no I behind it.
    """
    starts = starts_of(table)
    shares = np.exp(log_probabilities(table, starts))
    begins, inside = shares[:, 1], [*shares[1:, 2].tolist(), 0.0]
    ends = [*starts[1:], len(text)]
    for first in np.flatnonzero(begins >= _LEAST).tolist():
        share = float(begins[first])
        for last in range(first, len(starts)):
            piece = text[starts[first] : ends[last]].rstrip()
            if share * (1 - inside[last]) >= _LEAST:
                yield Mark(starts[first], starts[first] + len(piece), label, piece), share * (1 - inside[last])
            share *= inside[last]
            if share < _LEAST:
                break


def decode_table(table: Table, text: str, labels: Sequence[str]) -> tuple[Mark, ...]:
    """What the model marks in `text`."""
    starts = starts_of(table)
    return marks_of_tags(best_tags(log_probabilities(table, starts)).tolist(), starts, text, labels)


def tag_loss(
    tables: Sequence[Table], texts: Sequence[str], marks: Sequence[Iterable[Mark]], labels: Sequence[str]
) -> float:
    """Mean negative log-likelihood of the gold tags, in nats a piece; 0 without pieces."""
    total, count = 0.0, 0
    for table, text, wanted in zip(tables, texts, marks, strict=True):
        starts = starts_of(table)
        tags = piece_tags(starts, text, wanted, labels)
        total -= float(log_probabilities(table, starts)[np.arange(len(tags)), tags].sum()) if tags else 0.0
        count += len(tags)
    return total / max(1, count)


def counts(predicted: Sequence[Iterable[Marked]], gold: Sequence[Iterable[Marked]], labels: Sequence[str]) -> Floats:
    """For each row and label: right, predicted, gold; shape (rows, 3 x labels). Right is right from end to end."""
    table = np.zeros((len(gold), len(labels), 3))
    for row, (found, wanted) in enumerate(zip(predicted, gold, strict=True)):
        said, true = ({(mark.start, mark.end, mark.label) for mark in marks} for marks in (found, wanted))
        for column, marks in enumerate((said & true, said, true)):
            for _, _, label in marks:
                table[row, labels.index(label), column] += 1
    return table.reshape(len(gold), -1)


def _by_label(sums: Floats) -> Floats:
    return sums.reshape(*sums.shape[:-1], -1, 3)


def _f1(sums: Floats) -> Floats:
    right, said, true = np.moveaxis(_by_label(sums).sum(axis=-2), -1, 0)
    # Nothing said where nothing was to be found is right.
    return np.where(said + true > 0, 2 * right / np.maximum(said + true, 1), 1.0)


def _share(of: int) -> Measure:
    name, zh = (("precision", "准确率"), ("recall", "召回率"))[of - 1]

    def share(sums: Floats) -> Floats:
        whole = _by_label(sums).sum(axis=-2)
        return np.nan_to_num(ratio(whole[..., 0], whole[..., of]))

    return Measure(f"span_{name}", f"实体{zh}", f"span {name}", share)


def _macro_f1(sums: Floats) -> Floats:
    right, said, true = np.moveaxis(_by_label(sums), -1, 0)
    f1 = 2 * right / np.maximum(said + true, 1)
    there = said + true > 0
    return np.where(there.any(axis=-1), (f1 * there).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1), 1.0)


# Micro-averaged as by seqeval and conlleval; labels that occur nowhere do not count in the macro average.
SPAN_MEASURES = (
    Measure("span_f1", "实体 F1", "span F1", _f1),
    _share(1),
    _share(2),
    Measure("macro_span_f1", "各类平均的实体 F1", "span F1 averaged over labels", _macro_f1),
)
