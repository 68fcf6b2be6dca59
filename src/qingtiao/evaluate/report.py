"""The report of one run as plain frozen values: scores with intervals, baselines, a verdict, and where it goes wrong.

`build_report` makes it from arrays, `Report.as_json` is what the file holds, `html.render_html` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qingtiao.evaluate.metrics import (
    Floats,
    Ints,
    accuracy,
    check_probabilities,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    negative_log_likelihood,
    per_class,
    reliability_bins,
)
from qingtiao.evaluate.stats import Interval, macro_f1_interval, wilson_interval
from qingtiao.evaluate.verdict import Verdict, decide
from qingtiao.types import Place

Bools = npt.NDArray[np.bool_]

WORST_ERRORS = 50
# Upper ends in characters, the last open: a title, a sentence, a short review, a long one, an article.
LENGTH_BINS = (10, 20, 50, 100, 200, 500)

NO_CLEAN_ROWS = {
    "zh": "每一条测试文本都在训练数据里出现过（或与之近似），没有干净的行可以评分。",
    "en": "Every test text is also in the training rows, or nearly so: no clean row is left to score.",
}


@dataclass(frozen=True, slots=True)
class Block:
    """The scores of one classifier on one set of rows. Intervals are 95 %; `nll` is in nats; `ece` over 15 bins."""

    n: int
    accuracy: float
    accuracy_ci: Interval
    macro_f1: float
    macro_f1_ci: Interval
    nll: float
    ece: float


@dataclass(frozen=True, slots=True)
class Scores:
    """One classifier on all test rows, and on the clean ones alone (None where there are none)."""

    test: Block
    clean_test: Block | None


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class on all test rows. A score that is undefined (no such gold row, never predicted) is None."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """`counts[gold][predicted]` over all test rows, in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Test rows whose confidence lies in (low, high]."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    accuracy_ci: Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    ece: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True)
class LengthSlice:
    """Test rows of `low` to `high` characters, both counted in; `high` is None for the open last slice."""

    low: int
    high: int | None
    n: int
    accuracy: float
    accuracy_ci: Interval


@dataclass(frozen=True, slots=True)
class WorstError:
    """A wrong answer. `clean` is False when the text is (nearly) in the training rows, where its label may differ."""

    text: str
    gold: str
    predicted: str
    confidence: float
    place: str
    clean: bool


@dataclass(frozen=True, slots=True)
class About:
    """What was trained, passed through unchanged. `dev` holds the metrics of each look at the dev rows."""

    base: Mapping[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    dev: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    trainable_share: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is known about one run's quality. `clean_test_reason` is set when `clean_test` is None."""

    verdict: Verdict
    test: Block
    clean_test: Block | None
    clean_test_reason: Mapping[str, str] | None
    baselines: Mapping[str, Scores]
    per_class: tuple[ClassScores, ...]
    confusion_matrix: ConfusionMatrix
    calibration: Calibration
    by_length: tuple[LengthSlice, ...]
    worst_errors: tuple[WorstError, ...]
    about: About

    def as_json(self) -> dict[str, Any]:
        """The report as strict JSON values: no NaN or infinity (they become null), `about` spread on the top level."""
        plain = strict_json(self)
        about: dict[str, Any] = plain.pop("about")
        return {**plain, **about}


@dataclass(frozen=True, slots=True)
class TestRows:
    """The test rows: `gold` ids of shape (n,), `clean` True where the text is not (nearly) in the training rows."""

    __test__ = False  # pytest would take the name for a test class

    texts: Sequence[str]
    gold: Ints
    clean: Bools
    places: Sequence[Place | str]


def evaluate_block(gold: Ints, probabilities: Floats, *, seed: int = 0) -> Block:
    """The scores of `probabilities`, shape (n, classes), against the ids `gold`, shape (n,).

    Raises:
        DataError: there are no rows, a probability is not finite, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    check_probabilities(gold, probabilities)
    predicted = _predicted(probabilities)
    classes = probabilities.shape[1]
    correct = int(np.sum(predicted == gold))
    return Block(
        n=len(gold),
        accuracy=accuracy(gold, predicted),
        accuracy_ci=wilson_interval(correct, len(gold)),
        macro_f1=macro_f1(gold, predicted, classes=classes),
        macro_f1_ci=macro_f1_interval(gold, predicted, classes=classes, seed=seed),
        nll=negative_log_likelihood(gold, probabilities),
        ece=expected_calibration_error(gold, probabilities),
    )


def build_report(
    rows: TestRows,
    probabilities: Floats,
    *,
    labels: Sequence[str],
    baselines: Mapping[str, Floats],
    about: About | None = None,
    seed: int = 0,
) -> Report:
    """The report on `rows`, given the adapter's probabilities and each baseline's, all of shape (n, classes).

    The verdict and the `clean_test` blocks leave out the rows that are not clean; `per_class` and what follows it are
    over all test rows, so that rare classes keep theirs.

    Raises:
        DataError: there are no rows, a probability is not finite, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    scores = _scores(rows, probabilities, seed=seed)
    judged = rows.clean if rows.clean.any() else np.ones_like(rows.clean)
    return Report(
        verdict=decide(
            rows.gold[judged],
            _predicted(probabilities)[judged],
            {name: _predicted(other)[judged] for name, other in baselines.items()},
            classes=len(labels),
            on="clean_test" if rows.clean.any() else "test",
            seed=seed,
        ),
        test=scores.test,
        clean_test=scores.clean_test,
        clean_test_reason=None if scores.clean_test else NO_CLEAN_ROWS,
        baselines={name: _scores(rows, other, seed=seed) for name, other in baselines.items()},
        per_class=_per_class(rows.gold, probabilities, labels=labels),
        confusion_matrix=_confusion(rows.gold, probabilities, labels=labels),
        calibration=_calibration(rows.gold, probabilities),
        by_length=_by_length(rows, probabilities),
        worst_errors=_worst_errors(rows, probabilities, labels=labels),
        about=about or About(),
    )


def strict_json(value: Any) -> Any:
    """`value` as dicts, lists, strings, finite numbers, booleans and None; anything else as its `str`."""
    if is_dataclass(value) and not isinstance(value, type):
        # Field by field: `asdict` would turn a `Place` inside into a bare tuple before it is seen.
        return {one.name: strict_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): strict_json(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return strict_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Place):
        return [strict_json(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) or value is None else str(value)


def _predicted(probabilities: Floats) -> Ints:
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def _scores(rows: TestRows, probabilities: Floats, *, seed: int) -> Scores:
    test = evaluate_block(rows.gold, probabilities, seed=seed)
    if not rows.clean.any():
        return Scores(test=test, clean_test=None)
    clean = evaluate_block(rows.gold[rows.clean], probabilities[rows.clean], seed=seed)
    return Scores(test=test, clean_test=clean)


def _per_class(gold: Ints, probabilities: Floats, *, labels: Sequence[str]) -> tuple[ClassScores, ...]:
    found = per_class(confusion_matrix(gold, _predicted(probabilities), classes=len(labels)))
    return tuple(
        ClassScores(
            label=label,
            precision=_defined(found.precision[index]),
            recall=_defined(found.recall[index]),
            f1=_defined(found.f1[index]),
            support=int(found.support[index]),
        )
        for index, label in enumerate(labels)
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _confusion(gold: Ints, probabilities: Floats, *, labels: Sequence[str]) -> ConfusionMatrix:
    matrix = confusion_matrix(gold, _predicted(probabilities), classes=len(labels))
    return ConfusionMatrix(labels=tuple(labels), counts=tuple(tuple(row) for row in matrix.tolist()))


def _calibration(gold: Ints, probabilities: Floats) -> Calibration:
    return Calibration(
        ece=expected_calibration_error(gold, probabilities),
        bins=tuple(
            CalibrationBin(
                low=group.low,
                high=group.high,
                n=group.n,
                confidence=group.confidence,
                accuracy=group.accuracy,
                accuracy_ci=wilson_interval(group.correct, group.n),
            )
            for group in reliability_bins(gold, probabilities)
        ),
    )


def _by_length(rows: TestRows, probabilities: Floats) -> tuple[LengthSlice, ...]:
    """Slices of `LENGTH_BINS` that hold rows; length is in characters (code points) of the text as given."""
    lengths = np.array([len(text) for text in rows.texts])
    right = _predicted(probabilities) == rows.gold
    place = np.searchsorted(LENGTH_BINS, lengths, side="left")
    found = []
    for index in np.unique(place):
        inside = right[place == index]
        found.append(
            LengthSlice(
                low=LENGTH_BINS[index - 1] + 1 if index else 0,
                high=LENGTH_BINS[index] if index < len(LENGTH_BINS) else None,
                n=len(inside),
                accuracy=float(inside.mean()),
                accuracy_ci=wilson_interval(int(inside.sum()), len(inside)),
            )
        )
    return tuple(found)


def _worst_errors(rows: TestRows, probabilities: Floats, *, labels: Sequence[str]) -> tuple[WorstError, ...]:
    predicted, confidence = _predicted(probabilities), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != rows.gold)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST_ERRORS]
    return tuple(
        WorstError(
            text=rows.texts[row],
            gold=labels[rows.gold[row]],
            predicted=labels[predicted[row]],
            confidence=float(confidence[row]),
            place=str(rows.places[row]),
            clean=bool(rows.clean[row]),
        )
        for row in worst
    )
