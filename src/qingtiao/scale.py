"""Numbers as targets: read from cells, brought to one scale for training, and back again for answers."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from qingtiao.answers import Value
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure, mean_of, pearson_of
from qingtiao.evaluate.metrics import Floats
from qingtiao.language import say
from qingtiao.types import Place, Row

# What `scores` gives; the first picks the best model. True: higher is better.
SCORES: Mapping[str, bool] = {"pearson": True, "mae": False, "loss": False}

Baseline = Callable[[Sequence[Row]], list[Value]]

_CORRELATION = pearson_of(0, 1, 2, 3, 4, 5)
MEASURES = (
    Measure("pearson", "Pearson 相关", "Pearson's r", _CORRELATION, share=False, of_one_row=False),
    Measure("mae", "平均绝对误差", "mean absolute error", mean_of(0, 1), higher_is_better=False, share=False),
    Measure("spearman", "Spearman 相关", "Spearman's rho", _CORRELATION, share=False, of_one_row=False),
)


def number_in(cell: Any, *, column: str, place: Place) -> float:
    """The finite number of a cell.

    Raises:
        DataError: the cell is empty, is no number, or is NaN or infinite.
    """
    text = unicodedata.normalize("NFKC", cell).strip() if isinstance(cell, str) else cell
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if math.isfinite(value):
        return value
    shown = repr(cell)[:60]
    raise DataError(
        f"{place} 的 {column} 不是有限的数：{shown}",
        f"{place}: {column} is not a finite number: {shown}",
        todo_zh="补上或删掉这一行；数值在别的列就用 --label-column 指明；要分类就用 --task text_classification。",
        todo_en="Fill it in or drop the row; name another column with --label-column; for classes take another --task.",
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of the training targets. In between a target is (value - mean) / deviation.

    So the squared error begins at about 1 whatever the unit is, and one learning rate suits stars as well as prices.
    """

    mean: float
    deviation: float

    @classmethod
    def fit(cls, rows: Sequence[Row]) -> Self:
        """The scale of the rows' targets.

        Raises:
            DataError: they are all the same.
        """
        values = np.array([row.target for row in rows], dtype=np.float64)
        if values.min() == values.max():
            raise DataError(
                f"{rows[0].place.source} 里 {len(rows)} 行的数值全是 {values[0]:g}，没有什么可学",
                f"{rows[0].place.source}: all {len(rows)} numbers are {values[0]:g}, there is nothing to learn",
                todo_zh="检查 --label-column 指的是不是要预测的那一列。",
                todo_en="Check that --label-column names the column that is to be predicted.",
            )
        return cls(float(values.mean()), float(values.std()))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild what `state` described. Raises ValueError, KeyError or TypeError when it is not such a state."""
        mean, deviation = float(state["mean"]), float(state["deviation"])
        if not (math.isfinite(mean) and 0 < deviation < math.inf):
            raise ValueError(f"mean {mean} and deviation {deviation} are no scale")
        return cls(mean, deviation)

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation}

    def standard(self, rows: Sequence[Row]) -> Floats:
        """The rows' targets on the scale of training, shape (rows,)."""
        return (np.array([row.target for row in rows], dtype=np.float64) - self.mean) / self.deviation

    def decode(self, outputs: NDArray[np.floating]) -> list[Value]:
        """Outputs of shape (rows,), on the scale of training, as answers in the unit of the targets."""
        return [Value(value) for value in (outputs.astype(np.float64) * self.deviation + self.mean).tolist()]

    def blank_answer(self) -> Value:
        return Value(self.mean, say("空文本：答案是训练集的平均值", "empty text: the answer is the mean of training"))

    def scores(self, outputs: NDArray[np.floating], rows: Sequence[Row]) -> dict[str, float]:
        """`SCORES` of outputs of shape (rows,); the loss is the squared error on the scale of training."""
        sums = self.sums(self.decode(outputs), rows)
        found = {one.name: one.value(sums[one.name]) for one in MEASURES if one.name in SCORES}
        return {**found, "loss": float(np.mean((outputs - self.standard(rows)) ** 2))}

    def sums(self, answers: Sequence[Value], rows: Sequence[Row]) -> dict[str, Floats]:
        """For each of `MEASURES` what it sums over, shape (rows, k).

        Moments are taken on the scale of training: of raw years or prices the squares would eat up the precision.
        Spearman's rho is Pearson's r of the ranks among `rows`; its interval takes these ranks as given.
        """
        predicted = (np.array([answer.value for answer in answers], dtype=np.float64) - self.mean) / self.deviation
        gold = self.standard(rows)
        error = np.abs(predicted - gold) * self.deviation
        return {
            "pearson": _moments(predicted, gold),
            "mae": np.stack([error, np.ones(len(rows))], axis=1),
            "spearman": _moments(_ranks(predicted), _ranks(gold)),
        }

    def baselines(self, rows: Sequence[Row], *, seed: int) -> dict[str, Baseline]:
        """The mean of the training targets for every text, and ridge regression on TF-IDF."""
        from qingtiao.evaluate.linear import fit_linear_number

        ridge = fit_linear_number([_parts(row) for row in rows], self.standard(rows), seed=seed)
        return {
            "ridge": lambda asked: self.decode(ridge.predict([_parts(row) for row in asked])),
            "mean": lambda asked: [Value(self.mean) for _ in asked],
        }


def _parts(row: Row) -> tuple[str, ...]:
    return row.parts or (row.text,)


def _moments(x: Floats, y: Floats) -> Floats:
    return np.stack([x, y, x * x, y * y, x * y, np.ones(len(x))], axis=1)


def _ranks(values: Floats) -> Floats:
    """From -1/2 to 1/2; equal values share their mean rank."""
    return np.asarray(rankdata(values) / max(1, len(values)) - 0.5)
