"""Several systems on the same rows: who is better than whom, what each costs, and which one to take.

`workflows.compare` measures them; `Comparison.as_json` is what the file holds, `comparison_html` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qingtiao.evaluate.measures import Difference, Measure
from qingtiao.evaluate.report import strict_json
from qingtiao.evaluate.stats import Interval, holm
from qingtiao.evaluate.verdict import NAMES, SIGNIFICANCE, SMALL_N

On = Literal["clean_test", "test"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A system, its scores and its costs; a baseline has no base, no parameters and no bundle.

    `test` and `clean_test` are blocks of a report as JSON. `train_seconds` of a baseline is that of all baselines
    together; `seconds_per_row` is the mean over the test rows, in batches as `predict` makes them.
    """

    name: str
    task: str
    base: str | None
    test: Mapping[str, Any]
    clean_test: Mapping[str, Any] | None
    train_seconds: float | None
    parameters: int | None
    trained_share: float | None
    bundle_bytes: int | None
    seconds_per_row: float

    @property
    def is_baseline(self) -> bool:
        return self.base is None

    @property
    def title(self) -> tuple[str, str]:
        """Its name in Chinese and English; a baseline's is ours, any other was given."""
        zh, en = NAMES.get(self.name, (self.name, self.name)) if self.is_baseline else (self.name, self.name)
        return zh.strip(), en

    def score(self, measure: Measure) -> float:
        return float((self.clean_test or self.test)[measure.name])

    def interval(self, measure: Measure) -> Interval:
        return Interval(*(self.clean_test or self.test)[f"{measure.name}_ci"])


@dataclass(frozen=True, slots=True)
class Pair:
    """How much better `first` is than `second`; `p_holm` is `p` raised for there being several pairs."""

    first: str
    second: str
    difference: float
    difference_ci: Interval
    p: float
    p_holm: float

    @property
    def told_apart(self) -> bool:
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Advice:
    """`take` is the quickest of those that cannot be told apart from `best`, the one with the best score."""

    take: str
    best: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contenders from best to worst by `measure` on the `n` rows of `on`, and the pairs among those that count."""

    measure: Measure
    on: On
    n: int
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]
    advice: Advice
    about: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        one = self.measure
        written = {
            "advice": self.advice,
            "measure": {
                "name": one.name,
                "zh": one.zh,
                "en": one.en,
                "higher_is_better": one.higher_is_better,
                "share": one.share,
            },
            "on": self.on,
            "n": self.n,
            "contenders": self.contenders,
            "pairs": self.pairs,
            **self.about,
        }
        found: dict[str, Any] = strict_json(written)
        return found


def ranked(contenders: Sequence[Contender], measure: Measure) -> list[Contender]:
    """Best first."""
    sign = -1 if measure.higher_is_better else 1
    return sorted(contenders, key=lambda one: sign * one.score(measure))


def rivals(contenders: Sequence[Contender], measure: Measure) -> list[Contender]:
    """Those that are tested against each other, best first: everything that was trained, and the best baseline.

    Taking the better baseline after the look leans slightly against what was trained, which costs more.
    """
    order = ranked(contenders, measure)
    best_baseline = next((one for one in order if one.is_baseline), None)
    return [one for one in order if not one.is_baseline or one is best_baseline]


def build_comparison(
    contenders: Sequence[Contender],
    measure: Measure,
    differences: Mapping[tuple[str, str], Difference],
    *,
    about: Mapping[str, Any],
) -> Comparison:
    """The comparison, given the difference of each pair of `rivals` (better one first)."""
    raised = holm([found.p for found in differences.values()])
    pairs = tuple(
        Pair(first, second, found.value, found.interval, found.p, p_holm)
        for ((first, second), found), p_holm in zip(differences.items(), raised, strict=True)
    )
    order = ranked(contenders, measure)
    on: On = "clean_test" if order[0].clean_test else "test"
    n = int((order[0].clean_test or order[0].test)["n"])
    return Comparison(measure, on, n, tuple(order), pairs, _advise(order, measure, pairs, on=on, n=n), about)


def _advise(order: Sequence[Contender], measure: Measure, pairs: Sequence[Pair], *, on: On, n: int) -> Advice:
    in_race = rivals(order, measure)
    best = in_race[0]
    apart = {pair.second for pair in pairs if pair.first == best.name and pair.told_apart}
    level = [one for one in in_race if one.name not in apart]
    take = min(level, key=lambda one: one.seconds_per_row)
    zh, en = _words(take, best, level, measure, n=n)
    if n < SMALL_N:
        zh += f"只有 {n} 行，更小的差别看不出来：结论前请多准备测试数据。"
        en += f" With only {n} rows smaller gaps cannot be seen: gather more before you conclude."
    if on == "test":
        zh += "注意：没有干净的测试行，结论偏乐观。"
        en += " Beware: there are no clean test rows, which flatters all of them."
    return Advice(take.name, best.name, zh, en)


def _words(
    take: Contender, best: Contender, level: Sequence[Contender], measure: Measure, *, n: int
) -> tuple[str, str]:
    (zh, en), (best_zh, best_en) = take.title, best.title
    score, best_score = (shown(measure, one.score(measure)) for one in (take, best))
    speed, best_speed = each(take.seconds_per_row), each(best.seconds_per_row)
    others = [one.title for one in level if one is not take]
    if take is not best:
        return (
            f"选 {zh}：{measure.zh} {score}，在 {n} 行上与最好的 {best_zh}（{best_score}）分不出高下，"
            f"而预测一条只要 {speed}（{best_zh} 要 {best_speed}）。",
            f"Take {en}: with {measure.en} {score} it cannot be told apart from the best, {best_en} ({best_score}), "
            f"on {n} rows, and answers a row in {speed} ({best_en}: {best_speed}).",
        )
    if others:
        return (
            f"选 {zh}：{measure.zh} {score}，是最好的；在 {n} 行上与 {'、'.join(name for name, _ in others)} "
            f"分不出高下，而它预测最快（一条 {speed}）。",
            f"Take {en}: its {measure.en} {score} is the best; on {n} rows it cannot be told apart from "
            f"{', '.join(name for _, name in others)}, and it is the quickest of them ({speed} a row).",
        )
    return (
        f"选 {zh}：{measure.zh} {score}，在 {n} 行上胜过其余每一个；预测一条 {speed}。",
        f"Take {en}: with {measure.en} {score} it beats every other on {n} rows; it answers a row in {speed}.",
    )


def shown(measure: Measure, value: float) -> str:
    return f"{100 * value:.1f}%" if measure.share else f"{value:.3f}"


def each(seconds: float) -> str:
    """A time per row, as people read it."""
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} µs"
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
