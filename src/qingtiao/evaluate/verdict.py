"""Does the adapter pay? One test against the better baseline, in words that say no more than the rows allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qingtiao.evaluate.metrics import Ints, accuracy
from qingtiao.evaluate.stats import Interval, accuracy_difference_interval, macro_f1_difference_interval, mcnemar

Code = Literal["adapter_better", "tie", "baseline_better"]

SIGNIFICANCE = 0.05
# Below this the interval of an accuracy is wider than +-7 points at 50 %.
SMALL_N = 200

NAMES = {
    "tfidf": (" TF-IDF 基线", "the TF-IDF baseline"),
    "majority": ("多数类基线", "the majority baseline"),
    "memory": ("照搬最像的训练行", "the target of the nearest training row"),
    "lead": ("首句基线", "the first sentence"),
    "lead_k": ("开头截取基线", "the beginning of the text"),
    "copy": ("照抄基线", "a copy of the text"),
    "lookalike": ("最像的训练图片", "the most similar training image"),
    "chance": ("随机配对", "pairing by chance"),
    "dictionary": ("词典基线", "the dictionary baseline"),
    "phrases": (" TF-IDF 短语基线", "the TF-IDF phrase baseline"),
    "ridge": (" TF-IDF 岭回归", "ridge regression on TF-IDF"),
    "mean": ("训练集的平均值", "the mean of the training rows"),
    "base": ("没训练过的基座", "the untrained base"),
    "retrieval": ("照搬最像的问题的回答", "the answer to the most similar question"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The adapter against the `against` baseline on the `n` rows of `on`; differences are adapter minus baseline.

    `p` is McNemar's mid-p, by which `code` is decided at 0.05; `adapter_only` rows were right in the adapter alone.
    """

    code: Code
    zh: str
    en: str
    on: Literal["clean_test", "test"]
    against: str
    n: int
    p: float
    p_exact: float
    adapter_only: int
    baseline_only: int
    difference: float
    difference_ci: Interval
    macro_f1_difference_ci: Interval


def decide(
    gold: Ints,
    adapter: Ints,
    baselines: Mapping[str, Ints],
    *,
    classes: int,
    on: Literal["clean_test", "test"],
    seed: int = 0,
) -> Verdict:
    """The verdict on predictions of shape (n,), against whichever of `baselines` has the higher accuracy.

    Taking the better one after the look leans slightly against the adapter, which is the side to err on: it costs more.

    Raises:
        DataError: there are no rows.
        QingtiaoError: the arrays differ in length.
    """
    against = max(baselines, key=lambda name: accuracy(gold, baselines[name]))
    test = mcnemar(gold, adapter, baselines[against])
    difference = (test.first_only - test.second_only) / test.n
    code = code_of(test.p_mid, difference)
    interval = accuracy_difference_interval(test)
    zh, en = _words(code, against=against, n=test.n, difference=difference, interval=interval)
    if on == "test":
        zh += "注意：没有干净的测试行，这里用了训练时见过的文本，结论偏乐观。"
        en += " Beware: there are no clean test rows, so texts seen in training were used, which flatters both."
    return Verdict(
        code=code,
        zh=zh,
        en=en,
        on=on,
        against=against,
        n=test.n,
        p=test.p_mid,
        p_exact=test.p_exact,
        adapter_only=test.first_only,
        baseline_only=test.second_only,
        difference=difference,
        difference_ci=interval,
        macro_f1_difference_ci=macro_f1_difference_interval(
            gold, adapter, baselines[against], classes=classes, seed=seed
        ),
    )


def code_of(p: float, difference: float) -> Code:
    """What a test says of the adapter; a positive difference speaks for it."""
    if p >= SIGNIFICANCE:
        return "tie"
    return "adapter_better" if difference > 0 else "baseline_better"


def _words(code: Code, *, against: str, n: int, difference: float, interval: Interval) -> tuple[str, str]:
    name_zh, name_en = NAMES.get(against, (against, against))
    points, low, high = (f"{100 * value:+.1f}" for value in (difference, *interval))
    rows = f"{n} row{'' if n == 1 else 's'}"
    gap_zh = f"准确率相差 {points} 个百分点（95% 区间 {low} 到 {high}）"
    gap_en = f"accuracy differs by {points} points (95% interval {low} to {high})"
    zh, en = {
        "adapter_better": (
            f"在 {n} 行上胜过{name_zh}，{gap_zh}：适配器值得用。",
            f"On {rows} the adapter beats {name_en}; {gap_en}. It pays.",
        ),
        "baseline_better": (
            f"在 {n} 行上输给{name_zh}，{gap_zh}：适配器不值得用。用更便宜的基线，或换更大的基座、更多的数据。",
            f"On {rows} the adapter loses to {name_en}; {gap_en}. It does not pay: "
            "use the cheaper baseline, or a larger base, or more data.",
        ),
        "tie": (
            f"在 {n} 行上与{name_zh}不分胜负，{gap_zh}。没有证据说明适配器值得多花的力气。",
            f"On {rows} the adapter and {name_en} cannot be told apart; {gap_en}. "
            "There is no evidence that the adapter repays its cost.",
        ),
    }[code]
    if n < SMALL_N:
        half = 100 * (interval.high - interval.low) / 2
        zh += f"只有 {n} 行，误差约 ±{half:.0f} 个百分点，更小的差别看不出来：结论前请多准备测试数据。"
        en += f" With only {rows} the margin is about ±{half:.0f} points and smaller gaps cannot be seen: "
        en += "gather more test rows before you conclude."
    return zh, en
