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
from qingtiao.evaluate.measures import Difference, Measure, difference, interval
from qingtiao.evaluate.metrics import Floats
from qingtiao.evaluate.report import NO_CLEAN_ROWS, WORST_ERRORS, About, Bools, strict_json
from qingtiao.evaluate.stats import Interval
from qingtiao.evaluate.verdict import NAMES, SIGNIFICANCE, SMALL_N, Code

Sums = Mapping[str, Floats]  # by measure: the numbers it sums over, shape (rows, k)


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
class MeasuredVerdict:
    """The adapter against the `against` baseline by `metric`; a positive difference speaks for the adapter."""

    code: Code
    zh: str
    en: str
    on: Literal["clean_test", "test"]
    against: str
    metric: str
    n: int
    p: float
    difference: float
    difference_ci: Interval


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
    first = measures[0]
    return MeasuredReport(
        measures=tuple(measures),
        verdict=_decide(
            first,
            sums[first.name][clean],
            {name: other[first.name][clean] for name, other in baselines.items() if first.name in other},
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
    return MeasuredScores(test, measured_block(measures, {name: rows[clean] for name, rows in sums.items()}, seed=seed))


def _decide(
    measure: Measure,
    adapter: Floats,
    baselines: Mapping[str, Floats],
    *,
    on: Literal["clean_test", "test"],
    seed: int,
) -> MeasuredVerdict:
    sign = 1 if measure.higher_is_better else -1
    against = max(baselines, key=lambda name: sign * measure.value(baselines[name]))
    found = difference(measure, adapter, baselines[against], seed=seed)
    code: Code = "tie"
    if found.p < SIGNIFICANCE:
        code = "adapter_better" if found.value > 0 else "baseline_better"
    zh, en = _words(code, against, measure, found, rows=len(adapter))
    if on == "test":
        zh += "注意：没有干净的测试行，结论偏乐观。"
        en += " Beware: there are no clean test rows, which flatters both."
    return MeasuredVerdict(code, zh, en, on, against, measure.name, len(adapter), found.p, found.value, found.interval)


def _words(code: Code, against: str, measure: Measure, found: Difference, *, rows: int) -> tuple[str, str]:
    scale, digits = (100, 1) if measure.share else (1, 3)
    gap, low, high = (f"{scale * value:+.{digits}f}" for value in (found.value, *found.interval))
    name_zh, name_en = NAMES.get(against, (f" {against} ", against))
    space = " " if measure.zh[-1].isascii() else ""  # between Latin and Chinese
    gap_zh = f"{measure.zh}{space}相差 {gap}（95% 区间 {low} 到 {high}）"
    gap_en = f"{measure.en} differs by {gap} (95% interval {low} to {high})"
    zh, en = {
        "adapter_better": (
            f"在 {rows} 行上胜过{name_zh}，{gap_zh}：适配器值得用。",
            f"On {rows} rows the adapter beats {name_en}; {gap_en}. It pays.",
        ),
        "baseline_better": (
            f"在 {rows} 行上输给{name_zh}，{gap_zh}：适配器不值得用。换更大的基座，或更多的数据。",
            f"On {rows} rows the adapter loses to {name_en}; {gap_en}. It does not pay: use another base or more rows.",
        ),
        "tie": (
            f"在 {rows} 行上与{name_zh}不分胜负，{gap_zh}。没有证据说明适配器值得多花的力气。",
            f"On {rows} rows the adapter and {name_en} cannot be told apart; {gap_en}. "
            "There is no evidence that the adapter repays its cost.",
        ),
    }[code]
    if rows < SMALL_N:
        zh += f"只有 {rows} 行，更小的差别看不出来：结论前请多准备测试数据。"
        en += f" With only {rows} rows smaller gaps cannot be seen: gather more before you conclude."
    return zh, en


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
