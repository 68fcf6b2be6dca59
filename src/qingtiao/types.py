"""The few values that travel between the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self


class Place(NamedTuple):
    """Where a row came from. `row` counts from 1 and is the line a person sees (the header is row 1 of a csv)."""

    source: str
    row: int

    def __str__(self) -> str:
        return f"{self.source}:{self.row}"


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it stands in the file: column name to cell. Cells are text, except in jsonl and parquet."""

    fields: Mapping[str, Any]
    place: Place


class References(tuple[str, ...]):
    """Outputs that are all right for one input, the first of which is learnt.

    Two rows with one text and other references do not contradict each other, as two labels would.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a task sees it.

    Attributes:
        text: what duplicates are judged by, and what a report shows.
        target: what is to be learnt; None where nobody knows. A `str` is a class: these are counted, and splits are
            stratified by them.
        parts: the texts of which `text` is the join, for tasks that read more than one.
        fields: the other columns, and whatever else the task needs of the row; JSON values.
        alike: for rows that are more than text, what tells them alike in its place: those that share one of these are
            near-duplicates, and copies are those that share the text and all of them.
    """

    text: str
    target: Any
    place: Place
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The target as people read it."""
        return "、".join(map(str, self.target)) if isinstance(self.target, tuple | list) else str(self.target)

    def with_text(self, text: str) -> Self:
        return replace(self, text=text)

    def with_parts(self, parts: Sequence[str]) -> Self:
        """`text` becomes the parts, a line each; empty when all of them are."""
        return replace(self, text="\n".join(parts) if any(parts) else "", parts=tuple(parts))

    def unanswered(self) -> Self:
        """The same question without its target."""
        return replace(self, target=None)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows of each split. `dev` and `test` may be empty until `data.split` has made them."""

    train: tuple[Row, ...]
    dev: tuple[Row, ...] = ()
    test: tuple[Row, ...] = ()

    def splits(self) -> dict[str, tuple[Row, ...]]:
        """The splits that hold rows, in the order train, dev, test."""
        named = {"train": self.train, "dev": self.dev, "test": self.test}
        return {name: rows for name, rows in named.items() if rows}
