"""Classes that exclude each other: learnt from labels, kept in bundles, and the answers they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qingtiao.answers import Prediction
from qingtiao.errors import DataError
from qingtiao.evaluate.metrics import Floats, Ints, accuracy, macro_f1, negative_log_likelihood
from qingtiao.language import say
from qingtiao.types import Row

_MOST_CLASSES = 1000
# What `scores` gives; the first picks the best model. True: higher is better.
SCORES: Mapping[str, bool] = {"macro_f1": True, "accuracy": True, "loss": False}

Baseline = Callable[[Sequence[Row]], list[Prediction]]


@dataclass(frozen=True, slots=True)
class Classes:
    """Label names in the order of the class ids, and each one's share of the training rows.

    `temperature` divides logits before they become probabilities (Guo et al. 2017, section 4.2).
    """

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    temperature: float = 1.0

    @classmethod
    def fit(cls, rows: Sequence[Row]) -> Self:
        """The labels of the rows.

        Raises:
            DataError: there are fewer than two, or so many that the column holds something else.
        """
        counts = Counter(str(row.target) for row in rows)
        if len(counts) < 2:
            raise DataError(
                f"训练数据里只有一种标签：{next(iter(counts), '（没有行）')}",
                f"The training rows hold only one label: {next(iter(counts), '(no rows)')}",
                todo_zh="分类至少要两种标签；检查 --label-column 指的是不是标签列。",
                todo_en="Classification needs two labels or more; check --label-column.",
            )
        if len(counts) > min(_MOST_CLASSES, max(2, len(rows) // 2)):
            raise DataError(
                f"{len(rows)} 行里有 {len(counts)} 种标签，不像分类",
                f"{len(counts)} labels in {len(rows)} rows do not look like classification",
                todo_zh="检查 --label-column：现在这一列更像编号或文本。",
                todo_en="Check --label-column: the column looks like ids or text.",
            )
        labels = sorted(counts, key=label_order)
        return cls(tuple(labels), tuple(counts[label] / len(rows) for label in labels))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild what `state` described. Raises ValueError, KeyError or TypeError when it is not such a state."""
        labels, shares, temperature = checked_labels(state["labels"]), state["shares"], float(state["temperature"])
        if len(shares) != len(labels):
            raise ValueError(f"{len(labels)} labels but {len(shares)} shares")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, not {temperature}")
        return cls(labels, tuple(float(share) for share in shares), temperature)

    def state(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "shares": list(self.shares), "temperature": self.temperature}

    def model_options(self) -> dict[str, Any]:
        """Keywords for `from_pretrained`: the size of the head and the names of its outputs."""
        return {
            **named_outputs(self.labels),
            "problem_type": "single_label_classification",
        }

    def ids(self, rows: Sequence[Row]) -> Ints:
        """Class ids of the rows' targets, shape (rows,). Raises DataError for a label training never saw."""
        ids = {label: index for index, label in enumerate(self.labels)}
        unknown = next((row for row in rows if row.target not in ids), None)
        if unknown is not None:
            raise unknown_label(unknown, str(unknown.target), self.labels)
        return np.array([ids[row.target] for row in rows], dtype=np.int64)

    def decode(self, logits: NDArray[np.float32]) -> list[Prediction]:
        """Logits of shape (rows, classes) as answers."""
        return [self.answer(row) for row in softmax(logits / self.temperature)]

    def answer(self, probabilities: Floats) -> Prediction:
        return Prediction(
            self.labels[int(probabilities.argmax())], dict(zip(self.labels, probabilities.tolist(), strict=True))
        )

    def blank_answer(self) -> Prediction:
        label = self.labels[int(np.argmax(self.shares))]
        notice = say("空文本：答案是训练集里各标签的比例", "empty text: the answer is each label's share in training")
        return Prediction(label, dict(zip(self.labels, self.shares, strict=True)), notice)

    def scores(self, logits: NDArray[np.float32], rows: Sequence[Row]) -> dict[str, float]:
        """`SCORES` of logits of shape (rows, classes); the loss is in nats a row."""
        gold, probabilities = self.ids(rows), softmax(logits)
        predicted = probabilities.argmax(axis=1)
        return {
            "accuracy": accuracy(gold, predicted),
            "macro_f1": macro_f1(gold, predicted, classes=len(self.labels)),
            "loss": negative_log_likelihood(gold, probabilities),
        }

    def baselines(self, rows: Sequence[Row], *, seed: int) -> dict[str, Baseline]:
        """The majority class, and TF-IDF with logistic regression, learnt from the same rows."""
        from qingtiao.evaluate.baseline import fit_majority, fit_tfidf

        gold, classes = self.ids(rows), len(self.labels)
        found = {
            "tfidf": fit_tfidf([row.text for row in rows], gold, classes=classes, seed=seed),
            "majority": fit_majority(gold, classes=classes),
        }

        def answering(model: Any) -> Baseline:
            return lambda asked: [self.answer(p) for p in model.predict_proba([row.text for row in asked])]

        return {name: answering(model) for name, model in found.items()}


def checked_labels(labels: Any) -> tuple[str, ...]:
    """Label names out of a bundle. Raises ValueError when they are not two or more different names."""
    if len(set(labels)) != len(labels) or len(labels) < 2 or not all(isinstance(name, str) for name in labels):
        raise ValueError(f"labels must be two or more different names, not {labels!r}")
    return tuple(labels)


def named_outputs(labels: Sequence[str]) -> dict[str, Any]:
    """Keywords for `from_pretrained` that name a head's outputs."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def unknown_label(row: Row, label: str, labels: Sequence[str]) -> DataError:
    shown, shown_en = "、".join(labels[:30]), ", ".join(labels[:30])
    return DataError(
        f"{row.place}：标签 {label!r} 不在训练时的标签里（{shown}）",
        f"{row.place}: the label {label!r} is none of the trained ones ({shown_en})",
        todo_zh="改正这一行的标签；同一类有两个名字的话，训练时加 --set task_options.label_names.旧=新。",
        todo_en="Correct the label; a class of two names is trained with --set task_options.label_names.OLD=NEW.",
    )


def softmax(logits: NDArray[np.float32]) -> Floats:
    """Rows of `logits` (rows, classes) as probabilities, in float64 so that each row sums to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def label_order(label: str) -> tuple[int, float, str]:
    """Numbers by value, before names by spelling: 2 comes before 10."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
