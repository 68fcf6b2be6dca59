"""Linear models on TF-IDF for what is no single class: labels that go together, numbers, and pairs of texts.

The features are those of `evaluate.baseline`; a pair adds what the two texts share, without which no linear model
could compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from qingtiao.evaluate.baseline import character_ngrams, fit_logistic
from qingtiao.evaluate.metrics import Floats, Ints
from qingtiao.evaluate.thresholds import Bools

Parts = Sequence[tuple[str, ...]]  # for each row its one text, or its two

# Of 0.3, 1, 3 and 10 the best mean absolute error on dev rows of book_review read as numbers (see docs/tasks).
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """TF-IDF of a text; of a pair that of either text, of what they share, of where they differ, and overlaps."""

    vectorizer: TfidfVectorizer

    @classmethod
    def fit(cls, rows: Parts, *, outputs: int) -> TextFeatures | None:
        """None when there is no character in any text, so that nothing can be counted."""
        texts = [text for parts in rows for text in parts]
        if not any(text.strip() for text in texts):
            return None
        return cls(character_ngrams(len(texts), outputs=outputs * (4 if len(rows[0]) == 2 else 1)).fit(texts))

    def of(self, rows: Parts) -> csr_matrix:
        """Shape (rows, features)."""
        first = self.vectorizer.transform([parts[0] for parts in rows])
        if len(rows[0]) == 1:
            return first
        second = self.vectorizer.transform([parts[1] for parts in rows])
        shared = first.multiply(second)
        return hstack([first, second, shared, abs(first - second), csr_matrix(_overlaps(rows, shared))], format="csr")


def _overlaps(rows: Parts, shared: csr_matrix) -> Floats:
    """Cosine, equality, and by characters and by pairs of them: how much of each text is in the other."""
    cosine = np.asarray(shared.sum(axis=1))
    counted = [
        [float(a == b), *_covered(set(a), set(b)), *_covered(_pairs(a), _pairs(b)), _length_ratio(a, b)]
        for a, b in rows
    ]
    return np.hstack([cosine, np.array(counted, dtype=np.float64)])


def _pairs(text: str) -> set[str]:
    return {text[i : i + 2] for i in range(len(text) - 1)}


def _covered(first: set[str], second: set[str]) -> tuple[float, float, float]:
    both = len(first & second)
    return both / max(1, len(first)), both / max(1, len(second)), both / max(1, len(first | second))


def _length_ratio(first: str, second: str) -> float:
    return len(first) / max(1, len(first) + len(second))


@dataclass(frozen=True, slots=True)
class LinearLabels:
    """One logistic regression a label. A label that all or none of the rows bore has its share instead of a model."""

    features: TextFeatures | None
    models: tuple[LogisticRegression | float, ...]

    def predict_proba(self, rows: Parts) -> Floats:
        """Shape (rows, labels); each on its own."""
        out = np.zeros((len(rows), len(self.models)))
        found = self.features.of(rows) if self.features and rows else None
        for label, model in enumerate(self.models):
            out[:, label] = model if isinstance(model, float) or found is None else model.predict_proba(found)[:, 1]
        return out


def fit_linear_labels(rows: Parts, gold: Bools, *, seed: int) -> LinearLabels:
    """One-vs-rest: each column of `gold`, shape (rows, labels), by a model of its own over the same features."""
    shares = [float(share) for share in gold.mean(axis=0)]
    features = TextFeatures.fit(rows, outputs=gold.shape[1])
    if features is None:
        return LinearLabels(None, tuple(shares))
    found = features.of(rows)
    models = (
        fit_logistic(found, gold[:, label].astype(np.int64), seed=seed) if 0 < share < 1 else share
        for label, share in enumerate(shares)
    )
    return LinearLabels(features, tuple(models))


@dataclass(frozen=True, slots=True)
class LinearClasses:
    """Logistic regression over classes; without features, or with one class only, their shares."""

    features: TextFeatures | None
    model: LogisticRegression | None
    shares: Floats

    def predict_proba(self, rows: Parts) -> Floats:
        """Shape (rows, classes)."""
        if self.features is None or self.model is None or not rows:
            return np.tile(self.shares, (len(rows), 1))
        out = np.zeros((len(rows), len(self.shares)))
        out[:, self.model.classes_] = self.model.predict_proba(self.features.of(rows))
        return out


def fit_linear_classes(rows: Parts, gold: Ints, *, classes: int, seed: int) -> LinearClasses:
    """`gold` holds class ids, shape (rows,)."""
    shares = np.bincount(gold, minlength=classes) / len(gold)
    features = TextFeatures.fit(rows, outputs=classes)
    if features is None or len(np.unique(gold)) < 2:
        return LinearClasses(None, None, shares)
    return LinearClasses(features, fit_logistic(features.of(rows), gold, seed=seed), shares)


@dataclass(frozen=True, slots=True)
class LinearNumber:
    """Ridge regression; without features the mean."""

    features: TextFeatures | None
    model: Any
    mean: float

    def predict(self, rows: Parts) -> Floats:
        """Shape (rows,)."""
        if self.features is None or not rows:
            return np.full(len(rows), self.mean)
        return np.asarray(self.model.predict(self.features.of(rows)), dtype=np.float64)


def fit_linear_number(rows: Parts, values: Floats, *, seed: int) -> LinearNumber:
    """`values` of shape (rows,)."""
    mean = float(values.mean())
    features = TextFeatures.fit(rows, outputs=1)
    if features is None:
        return LinearNumber(None, None, mean)
    model = Ridge(alpha=_RIDGE, solver="sparse_cg", random_state=seed).fit(features.of(rows), values)
    return LinearNumber(features, model, mean)
