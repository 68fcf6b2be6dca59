"""What a model says of one input, by kind. Every surface shows, counts and writes answers through these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol


class Answer(Protocol):
    """One answer; a frozen dataclass. `notice` says what is special about it, if anything."""

    @property
    def notice(self) -> str | None: ...

    @property
    def headline(self) -> str:
        """The answer in one line, for people."""

    @property
    def group(self) -> str | None:
        """What answers are counted by; None where no two need be alike."""

    def as_json(self) -> dict[str, Any]:
        """JSON values by name, `notice` last."""

    def as_cells(self) -> dict[str, Any]:
        """The same as one value a column, for tables; `notice` last."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label of several that exclude each other; `probabilities` is by label name and sums to 1."""

    label: str
    probabilities: Mapping[str, float]
    notice: str | None = None

    @property
    def confidence(self) -> float:
        return self.probabilities[self.label]

    @property
    def headline(self) -> str:
        return f"{self.label}  {100 * self.confidence:.1f} %"

    @property
    def group(self) -> str:
        return self.label

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "probabilities": dict(self.probabilities), "notice": self.notice}

    def as_cells(self) -> dict[str, Any]:
        return {"label": self.label, **_columns(self.probabilities), "notice": self.notice or ""}


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Any number of labels, none included; `probabilities` is by label name, each on its own."""

    labels: tuple[str, ...]
    probabilities: Mapping[str, float]
    notice: str | None = None

    @property
    def headline(self) -> str:
        return "、".join(f"{name} {100 * self.probabilities[name]:.1f} %" for name in self.labels) or "—"

    @property
    def group(self) -> str:
        return "、".join(self.labels) or "—"

    def as_json(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "probabilities": dict(self.probabilities), "notice": self.notice}

    def as_cells(self) -> dict[str, Any]:
        return {"labels": "|".join(self.labels), **_columns(self.probabilities), "notice": self.notice or ""}


@dataclass(frozen=True, slots=True)
class Value:
    """A number, in the unit of the training targets."""

    value: float
    notice: str | None = None

    @property
    def headline(self) -> str:
        return f"{self.value:.3f}"

    @property
    def group(self) -> None:
        return None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_cells(self) -> dict[str, Any]:
        return {"value": round(self.value, 6), "notice": self.notice or ""}


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of the text as it was given, and what they are."""

    start: int
    end: int
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Spans:
    """Labelled pieces of a text, in order and without overlap."""

    spans: tuple[Span, ...]
    notice: str | None = None

    @property
    def headline(self) -> str:
        return "  ".join(f"{span.text}/{span.label}" for span in self.spans) or "—"

    @property
    def group(self) -> None:
        return None

    def as_json(self) -> dict[str, Any]:
        return {"spans": [asdict(span) for span in self.spans], "notice": self.notice}

    def as_cells(self) -> dict[str, Any]:
        return {"spans": "|".join(f"{s.text}/{s.label}" for s in self.spans), "notice": self.notice or ""}


@dataclass(frozen=True, slots=True)
class Keywords:
    """Words and phrases that tell what a text is about, the most telling first; `scores` in the same order."""

    keywords: tuple[str, ...]
    scores: tuple[float, ...]
    notice: str | None = None

    @property
    def headline(self) -> str:
        return "、".join(self.keywords) or "—"

    @property
    def group(self) -> None:
        return None

    def as_json(self) -> dict[str, Any]:
        return {"keywords": list(self.keywords), "scores": list(self.scores), "notice": self.notice}

    def as_cells(self) -> dict[str, Any]:
        return {"keywords": "|".join(self.keywords), "notice": self.notice or ""}


@dataclass(frozen=True, slots=True)
class Text:
    """Written by the model."""

    text: str
    notice: str | None = None

    @property
    def headline(self) -> str:
        return self.text or "—"

    @property
    def group(self) -> None:
        return None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_cells(self) -> dict[str, Any]:
        return {"answer": self.text, "notice": self.notice or ""}


def _columns(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {f"probability_{label}": round(p, 6) for label, p in probabilities.items()}
