"""Labels that do not exclude each other: learnt from sets of them, kept in bundles, and the answers they give."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qingtiao.answers import LabelSet
from qingtiao.classes import checked_labels, label_order, named_outputs, unknown_label
from qingtiao.data.columns import label_of
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure, f1_of, mean_of
from qingtiao.evaluate.metrics import Floats, ratio
from qingtiao.evaluate.thresholds import HALF, Bools, Mode, fit_thresholds
from qingtiao.language import say
from qingtiao.types import Place, Row

_MOST_LABELS = 1000
# Of the training rows the linear baseline keeps this share back, to fit its thresholds on.
_HELD_OUT = 0.2

# What `scores` gives; the first picks the best model. True: higher is better.
SCORES: Mapping[str, bool] = {"micro_f1": True, "macro_f1": True, "loss": False}

Baseline = Callable[[Sequence[Row]], list[LabelSet]]


def _macro_f1(sums: Floats) -> Floats:
    """Mean F1 of the labels that were said or right, from three counts a label; 1 where none was either."""
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    f1 = ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])
    defined = np.isfinite(f1)
    return np.where(defined.any(axis=-1), np.nan_to_num(f1).sum(axis=-1) / np.maximum(defined.sum(axis=-1), 1), 1.0)


MEASURES = (
    Measure("micro_f1", "微平均 F1", "micro-F1", f1_of(0, 1, 2)),
    Measure("macro_f1", "宏平均 F1", "macro-F1", _macro_f1, of_one_row=False),
    Measure("exact_match", "整行全对", "exact match", mean_of(0, 1)),
)


def labels_in(cell: Any, *, separators: str, names: Mapping[str, str], place: Place) -> tuple[str, ...]:
    """The labels of a cell: a list, a JSON list as text, or text divided by any of `separators`; renamed by `names`.

    Each label once, in an order of their own, so that equal sets are equal tuples; an empty cell has none.

    Raises:
        DataError: the cell is an object, or a list that holds one.
    """
    if isinstance(cell, str):
        cell = _listed(cell) or _divided(cell, separators)
    if not isinstance(cell, list | tuple):
        cell = [cell]
    if any(isinstance(item, dict | list | bytes) for item in cell):
        raise DataError(
            f"{place} 的标签不是一串名字：{str(cell)[:60]}",
            f"{place}: the labels are not a list of names: {str(cell)[:60]}",
            todo_zh='写成 ["甲", "乙"]，或者 甲|乙；检查 --label-column。',
            todo_en='Write ["a", "b"] or a|b; check --label-column.',
        )
    found = {label_of(item) for item in cell} - {""}
    return tuple(sorted({names.get(label, label) for label in found}, key=label_order))


def _listed(cell: str) -> list[Any] | None:
    """A list that a table could only hold as its JSON."""
    if not cell.strip().startswith("["):
        return None
    try:
        value = json.loads(cell)
    except ValueError:
        return None
    return value if isinstance(value, list) else None


def _divided(cell: str, separators: str) -> list[str]:
    return cell.translate(dict.fromkeys(map(ord, separators), "\n")).split("\n")


@dataclass(frozen=True, slots=True)
class LabelSets:
    """Label names in the order of the outputs, each one's share of the training rows, and its threshold."""

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def fit(cls, rows: Sequence[Row]) -> Self:
        """The labels of the rows.

        Raises:
            DataError: there are fewer than two, or so many that the column holds something else.
        """
        counts = Counter(label for row in rows for label in row.target)
        if len(counts) < 2:
            raise DataError(
                f"训练数据里的标签不到两种：{next(iter(counts), '（没有）')}",
                f"The training rows hold fewer than two labels: {next(iter(counts), '(none)')}",
                todo_zh="检查 --label-column；同一格里的几个标签要用 task_options.separators 里的符号隔开。",
                todo_en="Check --label-column; labels of a cell are divided by one of task_options.separators.",
            )
        if len(counts) > min(_MOST_LABELS, max(2, len(rows) // 2)):
            raise DataError(
                f"{len(rows)} 行里有 {len(counts)} 种标签，不像多标签分类",
                f"{len(counts)} labels in {len(rows)} rows do not look like labels",
                todo_zh="检查 --label-column，以及 task_options.separators 是不是把一个标签切碎了。",
                todo_en="Check --label-column, and whether task_options.separators cuts labels to pieces.",
            )
        labels = tuple(sorted(counts, key=label_order))
        return cls(labels, tuple(counts[label] / len(rows) for label in labels), (HALF,) * len(labels))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild what `state` described. Raises ValueError, KeyError or TypeError when it is not such a state."""
        labels = checked_labels(state["labels"])
        shares, thresholds = (tuple(float(one) for one in state[name]) for name in ("shares", "thresholds"))
        if not len(labels) == len(shares) == len(thresholds):
            raise ValueError(f"{len(labels)} labels, {len(shares)} shares, {len(thresholds)} thresholds")
        if not all(0 <= one <= 1 for one in thresholds):
            raise ValueError(f"thresholds must lie between 0 and 1, not {thresholds}")
        return cls(labels, shares, thresholds)

    def state(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "shares": list(self.shares), "thresholds": list(self.thresholds)}

    def model_options(self) -> dict[str, Any]:
        """Keywords for `from_pretrained`: the size of the head and the names of its outputs."""
        return {**named_outputs(self.labels), "problem_type": "multi_label_classification"}

    def table(self, rows: Sequence[Row]) -> Bools:
        """Which labels the rows bear, shape (rows, labels). Raises DataError for a label training never saw."""
        ids = {label: index for index, label in enumerate(self.labels)}
        found = np.zeros((len(rows), len(ids)), dtype=bool)
        for number, row in enumerate(rows):
            for label in row.target:
                if label not in ids:
                    raise unknown_label(row, label, self.labels)
                found[number, ids[label]] = True
        return found

    def tuned(self, logits: NDArray[np.float32], rows: Sequence[Row], *, mode: Mode) -> Self:
        """A copy with the thresholds that suit `rows`; `logits` of shape (rows, labels)."""
        return replace(self, thresholds=fit_thresholds(sigmoid(logits), self.table(rows), mode=mode))

    def decode(self, logits: NDArray[np.float32]) -> list[LabelSet]:
        """Logits of shape (rows, labels) as answers."""
        return [self.answer(row) for row in sigmoid(logits)]

    def answer(self, probabilities: Floats) -> LabelSet:
        """Shape (labels,). A label is said from its threshold on; there may be none."""
        by_label = dict(zip(self.labels, probabilities.tolist(), strict=True))
        said = (label for label, least in zip(self.labels, self.thresholds, strict=True) if by_label[label] >= least)
        return LabelSet(tuple(said), by_label)

    def blank_answer(self) -> LabelSet:
        notice = say(
            "空文本：没有标签，概率是训练集里的比例", "empty text: no label; shares of training as probabilities"
        )
        return LabelSet((), dict(zip(self.labels, self.shares, strict=True)), notice)

    def scores(self, logits: NDArray[np.float32], rows: Sequence[Row], *, mode: Mode) -> dict[str, float]:
        """`SCORES` of logits of shape (rows, labels); the loss is in nats a label.

        F1 is that of the thresholds which suit these very rows: what `tuned` will choose. At a fixed 0.5 the rarer
        labels would not be said at all in the first epochs, and no epoch could be told from another.
        """
        suited, gold = self.tuned(logits, rows, mode=mode), self.table(rows)
        sums = suited.sums(suited.decode(logits), rows)
        f1 = {one.name: one.value(sums[one.name]) for one in MEASURES if one.name in SCORES}
        nats = np.logaddexp(0, logits.astype(np.float64)) - gold * logits
        return {**f1, "loss": float(nats.mean())}

    def sums(self, answers: Sequence[LabelSet], rows: Sequence[Row]) -> dict[str, Floats]:
        """For each of `MEASURES` what it sums over, shape (rows, k)."""
        gold = self.table(rows)
        said = np.array([[label in answer.labels for label in self.labels] for answer in answers], dtype=bool)
        said = said.reshape(gold.shape)
        counts = np.stack([gold & said, said, gold], axis=-1).astype(np.float64)
        right = (gold == said).all(axis=1).astype(np.float64)
        return {
            "micro_f1": counts.sum(axis=1),
            "macro_f1": counts.reshape(len(rows), -1),
            "exact_match": np.stack([right, np.ones(len(rows))], axis=1),
        }

    def baselines(self, rows: Sequence[Row], *, mode: Mode, seed: int) -> dict[str, Baseline]:
        """The same labels for every text, and TF-IDF with one-vs-rest logistic regression; thresholds fitted alike."""
        from qingtiao.evaluate.linear import fit_linear_labels

        gold, texts = self.table(rows), [(row.text,) for row in rows]
        order = np.random.default_rng(seed).permutation(len(rows))
        held, kept = np.split(order, [round(_HELD_OUT * len(rows))])
        trial = fit_linear_labels([texts[i] for i in kept], gold[kept], seed=seed)
        linear = fit_linear_labels(texts, gold, seed=seed)
        shares = np.array(self.shares)
        fitted = replace(
            self, thresholds=fit_thresholds(trial.predict_proba([texts[i] for i in held]), gold[held], mode=mode)
        )
        constant = replace(self, thresholds=fit_thresholds(np.tile(shares, (len(rows), 1)), gold, mode=mode))
        return {
            "tfidf": lambda asked: [fitted.answer(p) for p in linear.predict_proba([(row.text,) for row in asked])],
            "majority": lambda asked: [constant.answer(shares) for _ in asked],
        }


def sigmoid(logits: NDArray[np.float32]) -> Floats:
    """In float64, and without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits.astype(np.float64))))
