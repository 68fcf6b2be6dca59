"""Intervals cover what they claim to cover, and the tests agree with scipy's binomial."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from qingtiao.evaluate import stats
from qingtiao.evaluate.metrics import macro_f1


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (1092, 1200)])
def test_wilson_equals_scipy(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert stats.wilson_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.93])
def test_wilson_covers(share: float) -> None:
    n = 60
    covered = [
        interval.low <= share <= interval.high for interval in (stats.wilson_interval(k, n) for k in range(n + 1))
    ]
    # Exact, with no simulation: the chance of each count times whether its interval holds the truth.
    assert float(binom.pmf(range(n + 1), n, share) @ np.array(covered)) > 0.92


def three_classes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    cells = np.random.default_rng(seed).choice(9, size=n, p=JOINT.ravel())
    return cells // 3, cells % 3


JOINT = np.array([[0.55, 0.05, 0.03], [0.04, 0.15, 0.03], [0.02, 0.03, 0.10]])
TRUE_MACRO_F1 = float(np.mean(2 * np.diag(JOINT) / (JOINT.sum(axis=0) + JOINT.sum(axis=1))))


@pytest.mark.parametrize("n", [60, 300])
def test_macro_f1_interval_covers(n: int) -> None:
    hits = 0
    for seed in range(200):
        gold, predicted = three_classes(n, seed)
        interval = stats.macro_f1_interval(gold, predicted, classes=3, seed=seed, resamples=400)
        hits += interval.low <= TRUE_MACRO_F1 <= interval.high
    assert 0.89 <= hits / 200 <= 0.995


def test_macro_f1_interval_is_repeatable_holds_the_estimate_and_narrows() -> None:
    widths = []
    for n in (100, 1000, 10_000):
        gold, predicted = three_classes(n, 1)
        interval = stats.macro_f1_interval(gold, predicted, classes=3, seed=5)
        assert interval == stats.macro_f1_interval(gold, predicted, classes=3, seed=5)
        assert interval.low < macro_f1(gold, predicted, classes=3) < interval.high
        widths.append(interval.high - interval.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_macro_f1_interval_does_not_claim_certainty_without_an_error() -> None:
    gold = np.array([0, 1] * 10)
    assert stats.macro_f1_interval(gold, gold, classes=2, seed=0) == stats.wilson_interval(20, 20)
    assert stats.macro_f1_interval(gold, 1 - gold, classes=2, seed=0) == stats.wilson_interval(0, 20)


def test_macro_f1_interval_of_two_rows_of_classes_seen_once() -> None:
    low, high = stats.macro_f1_interval(np.array([0, 1]), np.array([0, 2]), classes=3, seed=0)
    assert 0 <= low <= high <= 1


def test_macro_f1_interval_is_quick() -> None:
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 10, 10_000)
    predicted = np.where(generator.random(10_000) < 0.8, gold, generator.integers(0, 10, 10_000))
    started = time.perf_counter()
    stats.macro_f1_interval(gold, predicted, classes=10, seed=0)
    # 0.04 s on a quiet machine; the bound leaves room for a busy one.
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(("first_only", "second_only"), [(0, 0), (1, 0), (5, 0), (5, 5), (3, 12), (1500, 1610)])
def test_mcnemar_equals_the_binomial_test(first_only: int, second_only: int) -> None:
    both = 50
    gold = np.zeros(first_only + second_only + both, dtype=np.int64)
    first, second = gold.copy(), gold.copy()
    second[:first_only] = 1
    first[first_only : first_only + second_only] = 1
    test = stats.mcnemar(gold, first, second)
    assert (test.first_only, test.second_only, test.n) == (first_only, second_only, len(gold))
    trials = first_only + second_only
    expected = binomtest(first_only, trials).pvalue if trials else 1.0
    assert test.p_exact == pytest.approx(expected, rel=1e-9)
    smaller = min(first_only, second_only)
    mid = 2 * binom.cdf(smaller, trials, 0.5) - binom.pmf(smaller, trials, 0.5)
    assert test.p_mid == pytest.approx(mid, rel=1e-9)
    mirrored = stats.mcnemar(gold, second, first)
    assert (mirrored.p_mid, mirrored.second_only) == (test.p_mid, first_only)


@pytest.mark.parametrize("n", [15, 60, 400])
def test_mid_p_rejects_equal_classifiers_about_as_often_as_it_says(n: int) -> None:
    generator = np.random.default_rng(n)
    gold = np.zeros(n, dtype=np.int64)
    rejected = sum(
        stats.mcnemar(gold, *(generator.random((2, n)) < 0.2).astype(np.int64)).p_mid < 0.05 for _ in range(500)
    )
    assert rejected / 500 < 0.08


def test_accuracy_difference_interval_covers_where_rows_are_few() -> None:
    generator = np.random.default_rng(7)
    only_first, only_second, n = 0.15, 0.05, 40
    hits = 0
    for _ in range(1000):
        first, second, _rest = generator.multinomial(n, [only_first, only_second, 1 - only_first - only_second])
        test = stats.McNemar(n=n, first_only=first, second_only=second, p_exact=1, p_mid=1)
        low, high = stats.accuracy_difference_interval(test)
        hits += low <= only_first - only_second <= high
    assert 0.93 <= hits / 1000 <= 0.985


def test_accuracy_difference_interval_knows_that_one_row_tells_nothing() -> None:
    low, high = stats.accuracy_difference_interval(stats.McNemar(n=1, first_only=0, second_only=0, p_exact=1, p_mid=1))
    assert low < -0.5 < 0.5 < high


def test_macro_f1_difference_interval_is_paired() -> None:
    gold, first = three_classes(500, 1)
    second = first.copy()
    second[:6] = (gold[:6] + 1) % 3
    low, high = stats.macro_f1_difference_interval(gold, first, second, classes=3, seed=0)
    assert 0 <= low < high < 0.05, "six rows differ, so the interval is far narrower than either score's own"
    assert stats.macro_f1_difference_interval(gold, first, first, classes=3, seed=0) == (0, 0)
