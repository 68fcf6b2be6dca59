"""Measures as functions of sums: their values, their intervals, and paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from qingtiao.evaluate.measures import Measure, difference, f1_of, interval, mean_of, pearson_of
from qingtiao.evaluate.stats import wilson_interval

MEAN = Measure("share", "比例", "share", mean_of(0, 1))
ERROR = Measure("error", "误差", "error", mean_of(0, 1), higher_is_better=False, share=False)


def right(rows: np.ndarray) -> np.ndarray:
    """Columns: right, count."""
    return np.stack([rows.astype(np.float64), np.ones(len(rows))], axis=1)


def test_f1_of_counts_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(0)
    gold, predicted = generator.random((2, 50, 6)) < 0.3
    rows = np.stack([(gold & predicted).sum(1), predicted.sum(1), gold.sum(1)], axis=1).astype(np.float64)
    measure = Measure("f1", "F1", "F1", f1_of(0, 1, 2))
    assert measure.value(rows) == pytest.approx(f1_score(gold, predicted, average="micro"))
    assert measure.by_row(np.array([[0.0, 0, 0], [0, 1, 1], [1, 1, 1]])).tolist() == [1, 0, 1]


def test_pearson_of_moments_is_numpys() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=200)
    y = x + generator.normal(size=200)
    rows = np.stack([x, y, x * x, y * y, x * y, np.ones(200)], axis=1)
    measure = Measure("pearson", "r", "r", pearson_of(0, 1, 2, 3, 4, 5))
    assert measure.value(rows) == pytest.approx(np.corrcoef(x, y)[0, 1])
    constant = np.stack([x * 0, y, x * 0, y * y, x * 0, np.ones(200)], axis=1)
    assert measure.value(constant) == 0


def test_the_interval_of_a_share_is_near_wilsons() -> None:
    rows = right(np.random.default_rng(2).random(400) < 0.8)
    low, high = interval(MEAN, rows, seed=0)
    expected = wilson_interval(int(rows[:, 0].sum()), 400)
    assert low == pytest.approx(expected.low, abs=0.012)
    assert high == pytest.approx(expected.high, abs=0.012)
    assert interval(MEAN, rows, seed=0) == (low, high)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    holds = 0
    for seed in range(200):
        low, high = interval(MEAN, right(generator.random(150) < 0.7), seed=seed, resamples=400)
        holds += low <= 0.7 <= high
    assert 178 <= holds <= 200  # 95 % of 200 is 190, give or take


def test_a_paired_difference_sees_what_unpaired_intervals_hide() -> None:
    generator = np.random.default_rng(4)
    base = generator.random(300) < 0.7
    better = base | (generator.random(300) < 0.1)
    found = difference(MEAN, right(better), right(base), seed=0)
    assert found.value > 0 and found.interval.low > 0 and found.p < 0.01
    same = difference(MEAN, right(base), right(base), seed=0)
    assert (same.value, same.interval, same.p) == (0, (0, 0), 1)


def test_where_less_is_better_less_counts_as_ahead() -> None:
    generator = np.random.default_rng(5)
    small, large = generator.random(200), generator.random(200) + 0.5
    found = difference(ERROR, right(small), right(large), seed=0)
    assert found.value > 0.4 and found.p < 0.01


def test_many_rows_are_resampled_in_pieces() -> None:
    rows = right(np.random.default_rng(6).random(9000) < 0.5)
    low, high = interval(MEAN, rows, seed=0)
    assert low < MEAN.value(rows) < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 9000**0.5, rel=0.1)
