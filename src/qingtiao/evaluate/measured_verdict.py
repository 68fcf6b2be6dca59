"""Does the adapter pay, where answers are measured? It must stand up to every baseline, each by a measure it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qingtiao.evaluate.measures import Difference, Measure, difference
from qingtiao.evaluate.metrics import Floats
from qingtiao.evaluate.stats import Interval
from qingtiao.evaluate.verdict import NAMES, SMALL_N, Code, code_of

Sums = Mapping[str, Floats]  # by measure: the numbers it sums over, shape (rows, k)


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
class _Contest:
    """The adapter against the strongest of the baselines that one measure judges."""

    measure: Measure
    against: str
    found: Difference

    @property
    def code(self) -> Code:
        return code_of(self.found.p, self.found.value)

    @property
    def names(self) -> tuple[str, str]:
        """The baseline's, in Chinese and in English."""
        return NAMES.get(self.against, (f" {self.against} ", self.against))


# From what speaks most against the adapter.
_WORST_FIRST: tuple[Code, ...] = ("baseline_better", "tie", "adapter_better")


def decide_measured(
    measures: Sequence[Measure],
    adapter: Sums,
    baselines: Mapping[str, Sums],
    *,
    on: Literal["clean_test", "test"],
    seed: int,
) -> MeasuredVerdict:
    """The verdict of the contest that goes worst for the adapter: one that is beaten anywhere does not pay.

    Args:
        adapter: by measure, what it sums over, shape (rows, k); `baselines` the same, where each may lack measures.
    """
    contests = _contests(measures, adapter, baselines, seed=seed)
    worst = min(contests, key=lambda one: _WORST_FIRST.index(one.code))
    rows = len(adapter[worst.measure.name])
    zh, en = _words(worst, rows=rows)
    for other in contests:
        if other is not worst:
            also_zh, also_en = _also(other)
            zh, en = zh + also_zh, f"{en} {also_en}"
    if on == "test":
        zh += "注意：没有干净的测试行，结论偏乐观。"
        en += " Beware: there are no clean test rows, which flatters both."
    name, found = worst.measure.name, worst.found
    return MeasuredVerdict(worst.code, zh, en, on, worst.against, name, rows, found.p, found.value, found.interval)


def _contests(
    measures: Sequence[Measure], adapter: Sums, baselines: Mapping[str, Sums], *, seed: int
) -> list[_Contest]:
    """Each baseline is judged by the first measure that it has; of those that one measure judges the best stands."""
    contests = []
    left = dict(baselines)
    for measure in measures:
        sign = 1 if measure.higher_is_better else -1
        values = {name: sign * measure.value(sums[measure.name]) for name, sums in left.items() if measure.name in sums}
        if values and measure.name in adapter:
            against = max(values, key=lambda name: values[name])
            found = difference(measure, adapter[measure.name], left[against][measure.name], seed=seed)
            contests.append(_Contest(measure, against, found))
            left = {name: sums for name, sums in left.items() if name not in values}
    return contests


def _also(contest: _Contest) -> tuple[str, str]:
    """How another contest went, in one sentence."""
    zh, en = {
        "adapter_better": ("胜出", "ahead of"),
        "baseline_better": ("落后", "behind"),
        "tie": ("不分胜负", "level with"),
    }[contest.code]
    name_zh, name_en = contest.names
    gap_zh, gap_en = _gap(contest)
    return f"另外，和{name_zh}比{zh}，{gap_zh}。", f"Besides, it is {en} {name_en}; {gap_en}."


def _gap(contest: _Contest) -> tuple[str, str]:
    measure, found = contest.measure, contest.found
    scale, digits = (100, 1) if measure.share else (1, 3)
    gap, low, high = (f"{scale * value:+.{digits}f}" for value in (found.value, *found.interval))
    space = " " if measure.zh[-1].isascii() else ""  # between Latin and Chinese
    return (
        f"{measure.zh}{space}相差 {gap}（95% 区间 {low} 到 {high}）",
        f"{measure.en} differs by {gap} (95% interval {low} to {high})",
    )


def _words(contest: _Contest, *, rows: int) -> tuple[str, str]:
    name_zh, name_en = contest.names
    gap_zh, gap_en = _gap(contest)
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
    }[contest.code]
    if rows < SMALL_N:
        zh += f"只有 {rows} 行，更小的差别看不出来：结论前请多准备测试数据。"
        en += f" With only {rows} rows smaller gaps cannot be seen: gather more before you conclude."
    return zh, en
