"""Every score against scikit-learn, and the cases where scikit-learn needs to be told what to say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, precision_recall_fscore_support
from sklearn.metrics import confusion_matrix as sklearn_matrix

from qingtiao.errors import DataError, QingtiaoError
from qingtiao.evaluate import metrics

CLASSES = 4


def probabilities_of(seed: int, rows: int, classes: int = CLASSES) -> np.ndarray:
    raw = np.random.default_rng(seed).exponential(size=(rows, classes)) ** 2
    return raw / raw.sum(axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_counts_and_class_scores_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(pairs).T
    matrix = metrics.confusion_matrix(gold, predicted, classes=CLASSES)
    np.testing.assert_array_equal(matrix, sklearn_matrix(gold, predicted, labels=range(CLASSES)))
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, predicted, labels=range(CLASSES), zero_division=np.nan
    )
    ours = metrics.per_class(matrix)
    np.testing.assert_allclose(ours.precision, precision)
    np.testing.assert_allclose(ours.recall, recall)
    np.testing.assert_allclose(ours.f1, f1)
    np.testing.assert_array_equal(ours.support, support)
    assert metrics.macro_f1(gold, predicted, classes=CLASSES) == pytest.approx(np.nanmean(f1))


def test_a_class_in_neither_gold_nor_predictions_leaves_macro_f1_alone() -> None:
    gold = predicted = np.array([0, 0, 1])
    assert metrics.macro_f1(gold, predicted, classes=2) == metrics.macro_f1(gold, predicted, classes=9) == 1.0
    assert np.isnan(metrics.per_class(metrics.confusion_matrix(gold, predicted, classes=3)).f1[2])


def test_a_class_predicted_but_never_gold_counts_as_zero() -> None:
    assert metrics.macro_f1(np.array([0, 0]), np.array([0, 1]), classes=2) == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("classes", [2, 4, 11])
def test_nll_and_brier_equal_scikit_learn(classes: int) -> None:
    gold = np.random.default_rng(1).integers(0, classes, 200)
    chances = probabilities_of(2, 200, classes)
    assert metrics.negative_log_likelihood(gold, chances) == pytest.approx(
        log_loss(gold, chances, labels=range(classes))
    )
    expected = brier_score_loss(gold, chances, labels=range(classes), scale_by_half=False)
    assert metrics.brier(gold, chances) == pytest.approx(expected)


def test_nll_of_an_impossible_gold_class_is_finite_and_of_a_sure_one_is_plain_zero() -> None:
    sure = np.array([[1.0, 0.0]])
    assert 30 < metrics.negative_log_likelihood(np.array([1]), sure) < 40
    assert str(metrics.negative_log_likelihood(np.array([0]), sure)) == "0.0"


def test_calibration_error_by_hand() -> None:
    chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    gold = np.array([0, 1, 0, 0])
    # Two rows at 0.9 with accuracy 0.5, two at 0.6 with accuracy 1.
    assert metrics.expected_calibration_error(gold, chances) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_reliability_bins_hold_every_row_once_and_edges_belong_to_the_lower_bin() -> None:
    chances = np.array([[0.5, 0.5], [1.0, 0.0], [0.7, 0.3]])
    bins = metrics.reliability_bins(np.array([0, 0, 0]), chances, bins=10)
    assert [(one.low, one.high, one.n) for one in bins] == [(0.4, 0.5, 1), (0.6, 0.7, 1), (0.9, 1.0, 1)]


def test_a_calibrated_model_has_little_calibration_error() -> None:
    generator = np.random.default_rng(3)
    chances = probabilities_of(4, 20_000, 3)
    gold = np.array([generator.choice(3, p=row) for row in chances])
    assert metrics.expected_calibration_error(gold, chances) < 0.015


def test_no_rows_is_a_users_mistake_and_unequal_lengths_are_ours() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(DataError):
        metrics.accuracy(none, none)
    with pytest.raises(QingtiaoError, match="2"):
        metrics.accuracy(np.array([1]), np.array([1, 0]))


@pytest.mark.parametrize("wrong", [-1, 4])
def test_an_id_without_a_class_is_refused(wrong: int) -> None:
    with pytest.raises(DataError, match=str(wrong)):
        metrics.confusion_matrix(np.array([0, wrong]), np.array([0, 0]), classes=CLASSES)


def test_probabilities_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="nan"):
        metrics.brier(np.array([0]), np.array([[np.nan, 1.0]]))
