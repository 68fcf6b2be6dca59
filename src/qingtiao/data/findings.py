"""What an audit says: findings in words, and the report that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any, Literal, NamedTuple

from qingtiao.types import Row

Severity = Literal["info", "warning", "error"]
Splits = Mapping[str, tuple[Row, ...]]
SPLIT_NAMES = {"train": "训练集", "dev": "验证集", "test": "测试集"}
_MOST_EXAMPLES = 5
_SHOWN_CHARACTERS = 80


class Words(NamedTuple):
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Where:
    """The rows that a finding is about; `twins` are those they collide with, one each, or none at all."""

    rows: Sequence[Row] = ()
    twins: Sequence[Row] = ()

    def examples(self) -> list[dict[str, Any]]:
        """The first few, with their texts."""
        return [
            {
                "source": row.place.source,
                "row": row.place.row,
                "text": row.text[:_SHOWN_CHARACTERS],
                "label": row.told[:_SHOWN_CHARACTERS],
                "twin": str(twin.place) if twin else None,
            }
            for row, twin in islice(self._pairs(), _MOST_EXAMPLES)
        ]

    def places(self) -> list[dict[str, str | None]]:
        """All of them."""
        return [{"at": str(row.place), "twin": str(twin.place) if twin else None} for row, twin in self._pairs()]

    def _pairs(self) -> Iterator[tuple[Row, Row | None]]:
        return zip(self.rows, self.twins or repeat(None), strict=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` of `total` rows (or labels) of `split` show `code`. `fix` is the command or the step that mends it.

    Where `where` holds rows, there are `count` of them.
    """

    code: str
    severity: Severity
    split: str | None
    count: int
    total: int
    what: Words
    effect: Words
    fix: Words
    where: Where = Where()

    def as_json(self, *, every_place: bool) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "split": self.split,
            "count": self.count,
            "total": self.total,
            "what": self.what._asdict(),
            "effect": self.effect._asdict(),
            "fix": self.fix._asdict(),
            "examples": self.where.examples(),
            **({"places": self.where.places()} if every_place else {}),
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`counts` are the figures, always all of them; `findings` are in words, only what is worth saying."""

    findings: tuple[Finding, ...]
    counts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def worst(self) -> Severity:
        found = {finding.severity for finding in self.findings}
        return "error" if "error" in found else "warning" if "warning" in found else "info"

    def as_json(self, *, every_place: bool = False) -> dict[str, Any]:
        """With `every_place` each finding names all its rows, not just the first few: there may be very many."""
        return {**self.counts, "findings": [finding.as_json(every_place=every_place) for finding in self.findings]}
