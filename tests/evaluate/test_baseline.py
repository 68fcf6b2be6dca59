"""The baselines learn what can be learnt, and survive data that teaches nothing."""

from __future__ import annotations

import numpy as np
import pytest

from qingtiao.errors import DataError
from qingtiao.evaluate.baseline import MajorityBaseline, TfidfBaseline, fit_majority, fit_tfidf

GOOD = ["很好吃，下次还来", "服务热情，房间干净", "质量不错，物超所值", "送得很快，味道很好", "非常满意，推荐"]
BAD = ["太难吃了，再也不来", "服务很差，房间很脏", "质量太差，根本不值", "送得太慢，都凉了", "非常失望，别买"]


def reviews(copies: int) -> tuple[list[str], np.ndarray]:
    marks = [f"第{index}单" for index in range(copies)]
    texts = [text + mark for mark in marks for text in (*GOOD, *BAD)]
    return texts, np.array(([1] * 5 + [0] * 5) * copies)


@pytest.mark.parametrize("copies", [1, 40])
def test_tfidf_learns_from_ten_rows_and_from_four_hundred(copies: int) -> None:
    texts, labels = reviews(copies)
    baseline = fit_tfidf(texts, labels, classes=2, seed=0)
    chances = baseline.predict_proba(["味道不错，服务热情", "太差了，很失望"])
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert chances.argmax(axis=1).tolist() == [1, 0]
    assert isinstance(baseline, TfidfBaseline)
    assert baseline.seconds > 0


def test_a_class_without_training_rows_keeps_its_column() -> None:
    texts, labels = reviews(1)
    chances = fit_tfidf(texts, labels * 2, classes=4, seed=0).predict_proba(texts)
    assert chances.shape == (10, 4)
    assert chances[:, [1, 3]].max() == 0
    assert chances.argmax(axis=1).tolist() == (labels * 2).tolist()


def test_a_dozen_classes() -> None:
    texts = [f"{chr(0x4E00 + 7 * label)}类第{copy}条" for copy in range(20) for label in range(12)]
    labels = np.tile(np.arange(12), 20)
    chances = fit_tfidf(texts, labels, classes=12, seed=0).predict_proba(texts)
    assert (chances.argmax(axis=1) == labels).all()


@pytest.mark.parametrize(
    ("texts", "labels"),
    [(["好", "很好"], [1, 1]), (["", "  ", "\n"], [1, 0, 1])],
    ids=["one class", "no characters"],
)
def test_rows_that_teach_nothing_give_the_majority(texts: list[str], labels: list[int]) -> None:
    baseline = fit_tfidf(texts, np.array(labels), classes=2, seed=0)
    assert isinstance(baseline, MajorityBaseline)
    assert baseline.predict_proba(["随便"]).argmax() == 1


def test_tfidf_is_repeatable_and_answers_empty_text_and_no_text() -> None:
    texts, labels = reviews(4)
    first, second = (fit_tfidf(texts, labels, classes=2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(["", "好"]), second.predict_proba(["", "好"]))
    assert first.predict_proba([]).shape == (0, 2)


def test_majority_gives_the_class_shares_and_the_first_of_equals() -> None:
    baseline = fit_majority(np.array([2, 2, 0, 1]), classes=4)
    np.testing.assert_array_equal(baseline.predict_proba(["一", "二"]), [[0.25, 0.25, 0.5, 0]] * 2)
    assert fit_majority(np.array([1, 0]), classes=2).predict_proba(["一"]).argmax() == 0


def test_no_rows_is_refused() -> None:
    with pytest.raises(DataError):
        fit_tfidf([], np.array([], dtype=np.int64), classes=2, seed=0)
    with pytest.raises(DataError):
        fit_majority(np.array([], dtype=np.int64), classes=2)
