"""Cleaning: what is dropped or repaired before training, and the rows that a score can be trusted on.

The test rows are the yardstick: they are repaired but never dropped. What collides with them goes from the training
side instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qingtiao.data.damage import is_damaged, repaired
from qingtiao.data.duplicates import copy_key, row_matches
from qingtiao.types import Dataset, Place, References, Row

Reason = Literal["mojibake", "empty", "damaged", "contradiction", "duplicate", "leak"]


@dataclass(frozen=True, slots=True)
class Touched:
    """One row that cleaning changed. `after` is None when the row was dropped; `twin` is the row it collides with."""

    place: Place
    split: str
    action: Literal["repaired", "dropped"]
    reason: Reason
    before: str
    after: str | None
    twin: Place | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.place.source,
            "row": self.place.row,
            "split": self.split,
            "action": self.action,
            "reason": self.reason,
            "before": self.before,
            "after": self.after,
            "twin": str(self.twin) if self.twin else None,
        }


def clean(dataset: Dataset, *, threshold: float) -> tuple[Dataset, list[Touched]]:
    """`dataset` cleaned, and every row that was touched.

    In every split mojibake is undone. From train and dev are dropped, in this order: empty texts; texts damaged for
    good; all rows of a text that carries two labels within train and dev (which of them is right cannot be known, and
    a majority among two or three copies says little); copies after the first; dev rows that nearly equal a test row;
    train rows that nearly equal a dev or test row.
    """
    log: list[Touched] = []
    test = _repair("test", dataset.test, log)
    parts = {name: _repair(name, rows, log) for name, rows in (("train", dataset.train), ("dev", dataset.dev))}
    torn = _torn_keys([*parts["train"], *parts["dev"]])
    for name, rows in parts.items():
        kept = _drop(name, rows, lambda row: not row.text.strip(), "empty", log)
        kept = _drop(name, kept, lambda row: is_damaged(row.text), "damaged", log)
        kept = _drop(name, kept, lambda row: copy_key(row) in torn, "contradiction", log)
        parts[name] = _drop_copies(name, kept, log)
    dev = _drop_leaks("dev", parts["dev"], test, threshold=threshold, log=log)
    train = _drop_leaks("train", parts["train"], (*dev, *test), threshold=threshold, log=log)
    return Dataset(train=train, dev=dev, test=test), log


def clean_dev(dataset: Dataset, *, threshold: float) -> tuple[Row, ...]:
    """The dev rows with no exact or near duplicate in train: those that may choose the best model."""
    return _apart(dataset.dev, dataset.train, threshold=threshold)


def clean_test(dataset: Dataset, *, threshold: float) -> tuple[Row, ...]:
    """The test rows with no exact or near duplicate in train or dev.

    Dev rows count too: they chose the epoch and the temperature.
    """
    return _apart(dataset.test, (*dataset.train, *dataset.dev), threshold=threshold)


def _apart(rows: Sequence[Row], others: Sequence[Row], *, threshold: float) -> tuple[Row, ...]:
    matches = row_matches(rows, others, threshold=threshold)
    return tuple(row for row, match in zip(rows, matches, strict=True) if match is None)


def _repair(split: str, rows: Iterable[Row], log: list[Touched]) -> tuple[Row, ...]:
    kept = []
    for row in rows:
        whole = row.with_parts([*map(repaired, row.parts)]) if row.parts else row.with_text(repaired(row.text))
        if whole.text != row.text:
            log.append(Touched(row.place, split, "repaired", "mojibake", row.text, whole.text))
        kept.append(whole)
    return tuple(kept)


def _drop(
    split: str, rows: Iterable[Row], bad: Callable[[Row], bool], reason: Reason, log: list[Touched]
) -> tuple[Row, ...]:
    kept = []
    for row in rows:
        if bad(row):
            log.append(Touched(row.place, split, "dropped", reason, row.text, None))
        else:
            kept.append(row)
    return tuple(kept)


def _torn_keys(rows: Iterable[Row]) -> set[tuple[str, ...]]:
    targets = defaultdict(set)
    for row in rows:
        if not isinstance(row.target, References):
            targets[copy_key(row)].add(str(row.target))
    return {key for key, found in targets.items() if len(found) > 1}


def _drop_copies(split: str, rows: Iterable[Row], log: list[Touched]) -> tuple[Row, ...]:
    first: dict[tuple[tuple[str, ...], Any], Row] = {}
    for row in rows:
        # One source may be taught with several references; a copy is what repeats both.
        other = row.target if isinstance(row.target, References) else None
        earlier = first.setdefault((copy_key(row), other), row)
        if earlier is not row:
            log.append(Touched(row.place, split, "dropped", "duplicate", row.text, None, earlier.place))
    return tuple(first.values())


def _drop_leaks(
    split: str, rows: Sequence[Row], held_out: Sequence[Row], *, threshold: float, log: list[Touched]
) -> tuple[Row, ...]:
    matches = row_matches(rows, held_out, threshold=threshold)
    kept = []
    for row, match in zip(rows, matches, strict=True):
        if match is None:
            kept.append(row)
        else:
            log.append(Touched(row.place, split, "dropped", "leak", row.text, None, held_out[match].place))
    return tuple(kept)
