"""Scores of a classifier: pure functions on arrays of class ids and of class probabilities.

Class ids run from 0 to `classes - 1`; probabilities have the shape (rows, classes) and each row sums to 1.

A class that is in neither the gold rows nor the predictions has no precision, recall or F1: these are `nan`, and
macro-F1 leaves the class out. A class that is predicted but never gold has F1 = 0 and counts. Both are what
scikit-learn does with `zero_division=nan`, so every figure here can be checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingtiao.errors import DataError, QingtiaoError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Guo et al. (2017) and most papers after them report ECE over 15 bins.
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class PerClass:
    """One value a class, each array of shape (classes,). `support` is the gold count; undefined scores are `nan`."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows whose confidence lies in (low, high]. `confidence` and `accuracy` are means; `correct` of `n` were right."""

    low: float
    high: float
    n: int
    correct: int
    confidence: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.n


def accuracy(gold: Ints, predicted: Ints) -> float:
    """Share of rows predicted right.

    Raises:
        DataError: there are no rows.
        QingtiaoError: the two arrays differ in length.
    """
    _check_pair(gold, predicted)
    return float(np.mean(gold == predicted))


def confusion_matrix(gold: Ints, predicted: Ints, *, classes: int) -> Ints:
    """Counts of shape (classes, classes): row = gold class, column = predicted class.

    Raises:
        DataError: there are no rows, or an id is outside 0 .. classes - 1.
        QingtiaoError: the two arrays differ in length.
    """
    _check_pair(gold, predicted)
    _check_ids(gold, classes=classes)
    _check_ids(predicted, classes=classes)
    flat = np.bincount(gold * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def per_class(matrix: Ints) -> PerClass:
    """Precision, recall, F1 and support of each class of a confusion matrix (rows gold, columns predicted)."""
    right = np.diag(matrix)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return PerClass(
        precision=ratio(right, predicted),
        recall=ratio(right, support),
        f1=ratio(2 * right, support + predicted),
        support=support,
    )


def macro_f1(gold: Ints, predicted: Ints, *, classes: int) -> float:
    """Unweighted mean F1 of the classes that are in the gold rows or in the predictions.

    Raises:
        DataError: there are no rows, or an id is outside 0 .. classes - 1.
        QingtiaoError: the two arrays differ in length.
    """
    return float(np.nanmean(per_class(confusion_matrix(gold, predicted, classes=classes)).f1))


def negative_log_likelihood(gold: Ints, probabilities: Floats) -> float:
    """Mean of -ln p(gold), in nats. Probabilities are held off 0 by the float64 epsilon, as scikit-learn's log_loss.

    Raises:
        DataError: there are no rows, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    check_probabilities(gold, probabilities)
    of_gold = probabilities[np.arange(len(gold)), gold].astype(np.float64)
    # abs, for a perfect score is 0 and not -0.
    return abs(float(np.mean(np.log(np.clip(of_gold, np.finfo(np.float64).eps, 1.0)))))


def brier(gold: Ints, probabilities: Floats) -> float:
    """Mean squared distance of the probabilities from the one-hot gold row, from 0 (perfect) to 2 (Brier 1950).

    Raises:
        DataError: there are no rows, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    check_probabilities(gold, probabilities)
    one_hot = np.eye(probabilities.shape[1])[gold]
    return float(np.mean(np.sum((probabilities - one_hot) ** 2, axis=1)))


def reliability_bins(gold: Ints, probabilities: Floats, *, bins: int = CALIBRATION_BINS) -> tuple[ReliabilityBin, ...]:
    """Rows grouped by confidence (the top probability) into equal-width bins; empty bins are left out.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2. A confidence on an edge
    belongs to the lower bin, as there.

    Raises:
        DataError: there are no rows, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    check_probabilities(gold, probabilities)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == gold
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    found = []
    for index in np.unique(place):
        inside = place == index
        found.append(
            ReliabilityBin(
                low=float(index / bins),
                high=float((index + 1) / bins),
                n=int(inside.sum()),
                correct=int(right[inside].sum()),
                confidence=float(confidence[inside].mean()),
            )
        )
    return tuple(found)


def expected_calibration_error(gold: Ints, probabilities: Floats, *, bins: int = CALIBRATION_BINS) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by their rows (Guo et al. 2017, eq. 3).

    It is biased upwards when rows are few: a perfectly calibrated model scores about 0.1 on 50 rows.

    Raises:
        DataError: there are no rows, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    groups = reliability_bins(gold, probabilities, bins=bins)
    return sum(group.n * abs(group.accuracy - group.confidence) for group in groups) / len(gold)


def ratio(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> Floats:
    """`part / whole` element by element, `nan` where `whole` is 0."""
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole != 0)
    return out


def check_probabilities(gold: Ints, probabilities: Floats) -> None:
    """Refuse arrays that do not belong together.

    Raises:
        DataError: there are no rows, a probability is not a number, or an id has no column.
        QingtiaoError: the numbers of rows differ.
    """
    _check_pair(gold, probabilities[:, 0] if probabilities.ndim == 2 else probabilities)
    if not np.isfinite(probabilities).all():
        raise DataError(
            "模型输出的概率里有 nan 或 inf",
            "The model's probabilities hold nan or inf",
            todo_zh="训练多半发散了：调低学习率，或用 --set train.precision=fp32 再训练。",
            todo_en="Training has probably diverged: lower the learning rate or train with precision=fp32.",
        )
    _check_ids(gold, classes=probabilities.shape[1])


def _check_pair(gold: Ints, other: npt.NDArray[np.number]) -> None:
    if len(gold) != len(other):
        raise QingtiaoError(
            f"标准答案有 {len(gold)} 行，预测有 {len(other)} 行",
            f"{len(gold)} gold rows but {len(other)} predictions",
            todo_zh="这是程序的错，请报告。",
            todo_en="This is our fault: please report it.",
        )
    if len(gold) == 0:
        raise DataError(
            "没有可以评分的行",
            "There are no rows to score",
            todo_zh="给一份至少有一行的测试数据。",
            todo_en="Give test data of at least one row.",
        )


def _check_ids(ids: Ints, *, classes: int) -> None:
    outside = ids[(ids < 0) | (ids >= classes)]
    if len(outside):
        raise DataError(
            f"类别编号 {int(outside[0])} 不在 0 到 {classes - 1} 之间",
            f"Class id {int(outside[0])} is not between 0 and {classes - 1}",
            todo_zh="检查测试数据里有没有训练时没见过的标签。",
            todo_en="Check the test data for labels that training never saw.",
        )
