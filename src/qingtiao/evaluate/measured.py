"""The report of a run whose answers are not one label each: measures with intervals, baselines, a verdict, the worst.

The counterpart of `evaluate.report`; both write the same outline, so that whoever reads one can read the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from qingtiao.answers import Span
from qingtiao.errors import DataError
from qingtiao.evaluate.measured_verdict import MeasuredVerdict, Sums, decide_measured
from qingtiao.evaluate.measures import Measure, interval
from qingtiao.evaluate.report import NO_CLEAN_ROWS, WORST_ERRORS, About, Bools, strict_json
from qingtiao.evaluate.stats import Interval


@dataclass(frozen=True, slots=True)
class Scored:
    """One measure over some rows, with its 95 % interval."""

    value: float
    ci: Interval


@dataclass(frozen=True, slots=True)
class MeasuredBlock:
    """The measures of one system on one set of rows."""

    n: int
    scores: Mapping[str, Scored]

    def as_json(self) -> dict[str, Any]:
        flat: dict[str, Any] = {"n": self.n}
        for name, scored in self.scores.items():
            flat |= {name: scored.value, f"{name}_ci": scored.ci}
        return flat


@dataclass(frozen=True, slots=True)
class MeasuredScores:
    """One system on all test rows, and on the clean ones alone (None where there are none)."""

    test: MeasuredBlock
    clean_test: MeasuredBlock | None

    def as_json(self) -> dict[str, Any]:
        return {"test": self.test.as_json(), "clean_test": self.clean_test.as_json() if self.clean_test else None}


@dataclass(frozen=True, slots=True)
class WorstAnswer:
    """A row with a low score by the first measure; `clean` is False when it is (nearly) in the training rows.

    The spans are those of tasks that mark pieces of the text.
    """

    text: str
    gold: str
    predicted: str
    score: float
    place: str
    clean: bool
    gold_spans: tuple[Span, ...] | None = None
    predicted_spans: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class MeasuredReport:
    """Everything that is known about one run's quality. `clean_test_reason` is set when there is no clean test."""

    measures: tuple[Measure, ...]
    verdict: MeasuredVerdict
    scores: MeasuredScores
    clean_test_reason: Mapping[str, str] | None
    baselines: Mapping[str, MeasuredScores]
    worst_answers: tuple[WorstAnswer, ...]
    about: About

    def as_json(self) -> dict[str, Any]:
        """The report as strict JSON values, in the outline of `Report.as_json`."""
        written = {
            "verdict": self.verdict,
            **self.scores.as_json(),
            "clean_test_reason": self.clean_test_reason,
            "baselines": {name: scores.as_json() for name, scores in self.baselines.items()},
            "measures": {one.name: one.as_json() for one in self.measures},
            "worst_answers": self.worst_answers,
        }
        about: dict[str, Any] = strict_json(self.about)
        return {**strict_json(written), **about}


@dataclass(frozen=True, slots=True)
class Judged:
    """The test rows as people read them, and `clean` as in `evaluate.report.TestRows`; all of the same length.

    `spans` holds for each row what is marked in its text and what the model marked, where answers are that.
    """

    texts: Sequence[str]
    gold: Sequence[str]
    predicted: Sequence[str]
    clean: Bools
    places: Sequence[str]
    spans: Sequence[tuple[tuple[Span, ...], tuple[Span, ...]]] | None = None


def measured_block(measures: Sequence[Measure], sums: Sums, *, seed: int = 0) -> MeasuredBlock:
    """Every measure that there are sums for, with its interval.

    Raises:
        DataError: there are no rows.
    """
    n = len(next(iter(sums.values())))
    if n == 0:
        raise DataError(
            "没有可以评分的行",
            "There are no rows to score",
            todo_zh="给一份至少有一行的测试数据。",
            todo_en="Give test data of at least one row.",
        )
    scores = {
        one.name: Scored(one.value(sums[one.name]), interval(one, sums[one.name], seed=seed))
        for one in measures
        if one.name in sums
    }
    return MeasuredBlock(n, scores)


def build_measured_report(
    judged: Judged,
    measures: Sequence[Measure],
    sums: Sums,
    *,
    baselines: Mapping[str, Sums],
    about: About,
    seed: int,
) -> MeasuredReport:
    """The report, given what the adapter and each baseline sum over on the same rows.

    A baseline may lack measures (a retrieved answer has no likelihood), though not every one the first.

    Raises:
        DataError: there are no rows.
    """
    scores = _scores(measures, sums, judged.clean, seed=seed)
    clean = judged.clean if judged.clean.any() else np.ones_like(judged.clean)
    on: Literal["clean_test", "test"] = "clean_test" if judged.clean.any() else "test"
    return MeasuredReport(
        measures=tuple(measures),
        verdict=decide_measured(
            measures,
            _of(sums, clean),
            {name: _of(other, clean) for name, other in baselines.items()},
            on=on,
            seed=seed,
        ),
        scores=scores,
        clean_test_reason=None if judged.clean.any() else NO_CLEAN_ROWS,
        baselines={name: _scores(measures, other, judged.clean, seed=seed) for name, other in baselines.items()},
        worst_answers=_worst(judged, judge_of_rows(measures), sums),
        about=about,
    )


def _scores(measures: Sequence[Measure], sums: Sums, clean: Bools, *, seed: int) -> MeasuredScores:
    test = measured_block(measures, sums, seed=seed)
    if not clean.any():
        return MeasuredScores(test, None)
    return MeasuredScores(test, measured_block(measures, _of(sums, clean), seed=seed))


def _of(sums: Sums, rows: Bools) -> Sums:
    return {name: values[rows] for name, values in sums.items()}


def judge_of_rows(measures: Sequence[Measure]) -> Measure:
    """The measure by which single answers are ranked: the first that means something for one row."""
    return next((one for one in measures if one.of_one_row), measures[0])


def _worst(judged: Judged, measure: Measure, sums: Sums) -> tuple[WorstAnswer, ...]:
    scores = measure.by_row(sums[measure.name])
    order = np.argsort(scores if measure.higher_is_better else -scores, kind="stable")
    perfect = measure.higher_is_better and measure.share
    worst = [int(row) for row in order[:WORST_ERRORS] if not (perfect and scores[row] >= 1)]
    return tuple(
        WorstAnswer(
            text=judged.texts[row],
            gold=judged.gold[row],
            predicted=judged.predicted[row],
            score=float(scores[row]),
            place=judged.places[row],
            clean=bool(judged.clean[row]),
            gold_spans=judged.spans[row][0] if judged.spans else None,
            predicted_spans=judged.spans[row][1] if judged.spans else None,
        )
        for row in worst
    )
