"""A comparison says no more than the rows allow: Holm's p, who cannot be told apart, and what to take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from scipy.stats import false_discovery_control

from qingtiao.answers import Prediction, Value
from qingtiao.evaluate.comparison import Comparison, Contender, build_comparison, each, rivals
from qingtiao.evaluate.comparison_html import render_comparison
from qingtiao.evaluate.judging import ACCURACY, first_measure, paired
from qingtiao.evaluate.measures import Difference, Measure, mean_of
from qingtiao.evaluate.stats import Interval, holm
from qingtiao.tasks.regression import RegressionOptions
from qingtiao.tasks.regression import Task as Regression
from qingtiao.tasks.text_classification import ClassificationOptions
from qingtiao.tasks.text_classification import Task as Classification
from qingtiao.types import Place, Row

ERROR = Measure("mae", "平均绝对误差", "mean absolute error", mean_of(0, 1), higher_is_better=False, share=False)
HOSTILE = "<script>alert(1)</script>"


def contender(name: str, score: float, speed: float, *, base: str | None = "b", measure: str = "accuracy") -> Contender:
    block = {"n": 500, measure: score, f"{measure}_ci": [score - 0.02, score + 0.02]}
    trained: dict[str, Any] = {"parameters": 10**6, "trained_share": 0.02, "bundle_bytes": 2**20}
    costs = trained if base else dict.fromkeys(trained)
    return Contender(name, "t", base, {**block, "n": 600}, block, 12.0, seconds_per_row=speed, **costs)


def build(
    contenders: list[Contender], p: Mapping[tuple[str, str], float], *, measure: Measure = ACCURACY
) -> Comparison:
    order = [one.name for one in rivals(contenders, measure)]
    pairs = [(one, other) for i, one in enumerate(order) for other in order[i + 1 :]]
    found = {pair: Difference(0.03, Interval(-0.01, 0.07), p.get(pair, 0.9)) for pair in pairs}
    return build_comparison(
        contenders, measure, found, about={"measures": {"mae": ERROR.as_json()}, "entries": {"a": {"x": 1}}}
    )


LARGE, SMALL, TFIDF = (
    contender("大", 0.92, 0.05),
    contender("小", 0.90, 0.002),
    contender("tfidf", 0.85, 1e-4, base=None),
)


def test_holm_is_stricter_than_each_and_milder_than_bonferroni() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.6, 0.9]) == [1.0, 1.0]
    assert all(raised >= fdr - 1e-12 for raised, fdr in zip(holm(p), false_discovery_control(p), strict=True))


def test_the_quickest_of_those_that_cannot_be_told_from_the_best_is_taken() -> None:
    found = build([SMALL, TFIDF, LARGE], {("大", "tfidf"): 0.001, ("小", "tfidf"): 0.004})
    assert [one.name for one in found.contenders] == ["大", "小", "tfidf"]
    assert (found.advice.take, found.advice.best) == ("小", "大")
    assert "分不出高下" in found.advice.zh and "2 ms" in found.advice.zh and "50 ms" in found.advice.en
    assert [pair.told_apart for pair in found.pairs] == [False, True, True]
    assert found.n == 500 and found.on == "clean_test"


def test_a_baseline_that_cannot_be_told_from_the_best_is_taken() -> None:
    found = build([LARGE, SMALL, TFIDF], {})
    assert found.advice.take == "tfidf" and "TF-IDF" in found.advice.zh and "TF-IDF" in found.advice.en


def test_a_winner_is_called_one_only_after_correction() -> None:
    others = {("小", "tfidf"): 0.9}
    clear = build([LARGE, SMALL, TFIDF], {("大", "小"): 0.01, ("大", "tfidf"): 0.001, **others})
    assert clear.advice.take == "大" and "胜过其余每一个" in clear.advice.zh
    # 0.03 would do by itself; as the second of three tests it would need to be below 0.025.
    unclear = build([LARGE, SMALL, TFIDF], {("大", "小"): 0.03, ("大", "tfidf"): 0.001, **others})
    assert unclear.advice.take == "小"


def test_only_the_best_baseline_is_tested_and_lower_may_be_better() -> None:
    rows = [
        contender("mean", 0.5, 1e-5, base=None, measure="mae"),
        contender("适配器", 0.28, 0.01, measure="mae"),
        contender("ridge", 0.34, 1e-4, base=None, measure="mae"),
    ]
    found = build(rows, {("适配器", "ridge"): 0.001}, measure=ERROR)
    assert [one.name for one in found.contenders] == ["适配器", "ridge", "mean"]
    assert [(pair.first, pair.second) for pair in found.pairs] == [("适配器", "ridge")]
    assert "0.280" in found.advice.zh
    assert "28.0" not in render_comparison(found)


def test_few_rows_and_no_clean_ones_are_said() -> None:
    block = {"n": 40, "accuracy": 0.9, "accuracy_ci": [0.8, 0.95]}
    few = Contender("甲", "t", "b", block, None, 1.0, 10, 0.1, 10, 0.01)
    found = build([few, Contender("tfidf", "t", None, block, None, 1.0, None, None, None, 0.001)], {})
    assert found.on == "test" and found.n == 40
    assert "只有 40 行" in found.advice.zh and "没有干净的测试行" in found.advice.zh
    assert "40 rows" in found.advice.en and "no clean test rows" in found.advice.en


def test_it_is_strict_json_and_a_page_that_runs_nothing() -> None:
    found = build([contender(HOSTILE, 0.92, 0.05), SMALL, TFIDF], {})
    written = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert written["measure"]["name"] == "accuracy" and len(written["pairs"]) == 3
    assert written["contenders"][0]["name"] == HOSTILE and written["contenders"][2]["base"] is None
    page = render_comparison(found)
    assert HOSTILE not in page and "&lt;script&gt;" in page
    for words in ("Holm", "TF-IDF", "92.0%", "2 ms", "1.0 MB", "<svg"):
        assert words in page


def test_pairs_are_tested_as_reports_test_them() -> None:
    """Classes by McNemar, with the numbers of a verdict; anything else by the paired bootstrap of its first measure."""
    rows = [Row("x", "好" if n % 2 else "坏", Place("a", n)) for n in range(40)]
    classes = Classification.fit(rows, ClassificationOptions())
    right = [Prediction(row.target, {label: float(label == row.target) for label in "好坏"}) for row in rows]
    wrong = [*right[1:9], *right[8:]]  # the first eight answer for the row after them
    found = paired(classes, rows, right, wrong, seed=0)
    assert found.value == pytest.approx(0.2) and found.p == pytest.approx(0.5**8)
    assert paired(classes, rows, wrong, right, seed=0).value == pytest.approx(-0.2)
    assert first_measure(classes) is ACCURACY

    numbers = [Row("x", float(n % 5), Place("a", n)) for n in range(200)]
    scale = Regression.fit(numbers, RegressionOptions())
    exact = [Value(row.target) for row in numbers]
    rough = [Value(row.target + (3.0 if n % 7 else -3.0)) for n, row in enumerate(numbers)]
    gap = paired(scale, numbers, exact, rough, seed=0)
    assert first_measure(scale).name == "pearson"
    assert gap.value > 0 and gap.interval.low > 0 and gap.p < 0.01
    assert paired(scale, numbers, rough, rough, seed=0).p == 1.0


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3e-6, "3 µs"), (0.00123, "1.23 ms"), (0.25, "250 ms"), (2, "2.00 s")]
)
def test_times_read_well(seconds: float, expected: str) -> None:
    assert each(seconds) == expected
