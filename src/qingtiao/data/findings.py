"""What an audit says: findings in words, and the report that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from qingtiao.types import Row

Severity = Literal["info", "warning", "error"]
_MOST_EXAMPLES = 5
_SHOWN_CHARACTERS = 80


class Words(NamedTuple):
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Example:
    """One row as a specimen; `twin` is the place of the row it collides with, if it does with one."""

    source: str
    row: int
    text: str
    label: str
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` of `total` rows (or labels) of `split` show `code`. `fix` is the command or the step that mends it."""

    code: str
    severity: Severity
    split: str | None
    count: int
    total: int
    what: Words
    effect: Words
    fix: Words
    examples: tuple[Example, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "split": self.split,
            "count": self.count,
            "total": self.total,
            "what": self.what._asdict(),
            "effect": self.effect._asdict(),
            "fix": self.fix._asdict(),
            "examples": [
                {"source": e.source, "row": e.row, "text": e.text, "label": e.label, "twin": e.twin}
                for e in self.examples
            ],
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

    def as_json(self) -> dict[str, Any]:
        return {**self.counts, "findings": [finding.as_json() for finding in self.findings]}


def examples(rows: Sequence[Row], twins: Sequence[Row | None] = ()) -> tuple[Example, ...]:
    """The first few of `rows`, each with its twin where `twins` gives one."""
    paired = zip(rows[:_MOST_EXAMPLES], [*twins, *[None] * _MOST_EXAMPLES], strict=False)
    return tuple(
        Example(
            row.place.source,
            row.place.row,
            row.text[:_SHOWN_CHARACTERS],
            row.told[:_SHOWN_CHARACTERS],
            str(twin.place) if twin else None,
        )
        for row, twin in paired
    )
