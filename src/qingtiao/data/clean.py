"""Rows made fit for training and for honest judging; every row that is touched is listed with the reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from qingtiao.data.audit import conflicting, exact_copies, is_damaged, repaired
from qingtiao.data.duplicates import near_matches
from qingtiao.types import Dataset, Row

Reason = Literal["mojibake", "empty", "damaged", "label_conflict", "exact_duplicate", "leak"]


@dataclass(frozen=True, slots=True)
class Touched:
    """One row that was changed (`after` is its new text) or dropped (`after` is None)."""

    place: str
    split: str
    action: Literal["repaired", "dropped"]
    reason: Reason
    before: str
    after: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def clean(dataset: Dataset, *, threshold: float) -> tuple[Dataset, list[Touched]]:
    """Repair mojibake; drop rows that are empty, beyond repair, contradictory, repeated, or leak into a later split.

    All rows of a text with contradicting labels go from train and dev: which label is right is for a person to say.
    Leaks are taken out of the earlier split, so that the test rows stay comparable with what others report: train
    loses what resembles dev or test, dev what resembles test. The test split only loses what no one could classify.
    """
    log: list[Touched] = []
    splits = {}
    for name, rows in dataset.splits().items():
        kept = _repaired(rows, name, log)
        kept = _without(kept, [row for row in kept if not row.text.strip()], "empty", name, log)
        kept = _without(kept, [row for row in kept if is_damaged(row.text)], "damaged", name, log)
        if name != "test":
            kept = _without(kept, conflicting(kept), "label_conflict", name, log)
            kept = _without(kept, exact_copies(kept), "exact_duplicate", name, log)
        splits[name] = kept
    dev, test = splits.get("dev", []), splits.get("test", [])
    train = _without(
        splits.get("train", []), _resembling(splits.get("train", []), [*dev, *test], threshold), "leak", "train", log
    )
    dev = _without(dev, _resembling(dev, test, threshold), "leak", "dev", log)
    return Dataset(tuple(train), tuple(dev), tuple(test)), log


def clean_dev(dataset: Dataset, *, threshold: float) -> tuple[Row, ...]:
    """The dev rows that neither equal nor resemble a training row: fit to choose the best model by."""
    known = _resembling(dataset.dev, dataset.train, threshold)
    return tuple(_except(dataset.dev, known))


def clean_test(dataset: Dataset, *, threshold: float) -> tuple[Row, ...]:
    """The test rows that neither equal nor resemble a train or dev row."""
    known = _resembling(dataset.test, [*dataset.train, *dataset.dev], threshold)
    return tuple(_except(dataset.test, known))


def _resembling(rows: Sequence[Row], others: Sequence[Row], threshold: float) -> list[Row]:
    matches = near_matches([row.text for row in rows], [row.text for row in others], threshold=threshold)
    known = {row.text.strip() for row in others}
    return [row for row, match in zip(rows, matches, strict=True) if match is not None or row.text.strip() in known]


def _repaired(rows: Sequence[Row], split: str, log: list[Touched]) -> list[Row]:
    result = []
    for row in rows:
        text = repaired(row.text)
        if text != row.text:
            log.append(Touched(str(row.place), split, "repaired", "mojibake", row.text, text))
        result.append(row.with_text(text))
    return result


def _without(rows: Sequence[Row], gone: Sequence[Row], reason: Reason, split: str, log: list[Touched]) -> list[Row]:
    log.extend(Touched(str(row.place), split, "dropped", reason, row.text, None) for row in gone)
    return _except(rows, gone)


def _except(rows: Sequence[Row], gone: Collection[Row]) -> list[Row]:
    places = {row.place for row in gone}
    return [row for row in rows if row.place not in places]
