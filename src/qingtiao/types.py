"""The few values that travel between the layers."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a task sees it. `text` is what duplicates are judged by; `target` is what is to be learnt."""

    text: str
    target: Any
    place: Place
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def with_text(self, text: str) -> Self:
        return replace(self, text=text)


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


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer. `probabilities` is by label name and sums to 1; `notice` says what is special, if anything."""

    label: str
    probabilities: Mapping[str, float]
    notice: str | None = None

    @property
    def confidence(self) -> float:
        return self.probabilities[self.label]
