"""What costs seconds and no GPU: the majority class, and TF-IDF with logistic regression, on the same rows.

An adapter that does not beat these does not pay.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from qingtiao.errors import DataError
from qingtiao.evaluate.metrics import Floats, Ints

# Of 1, 3, 10 and 30 the best on the leak-free ChnSentiCorp dev rows with this solver (88.6, 88.6, 89.4, 89.3 %).
INVERSE_REGULARISATION = 10.0
# An n-gram seen once cannot generalise; with fewer rows than this nearly all are seen once and nothing would be left.
_ROWS_FOR_MIN_DF = 200
# Keeps the weights under 200 MB, and a fit of 50,000 long rows to about a minute on one core.
_MAX_WEIGHTS = 25_000_000
_MAX_FEATURES = 300_000
# 45,000 titles in 10 classes take 132 at the default tolerance; a looser 1e-3 stops at 26 and loses two points.
_MAX_ITERATIONS = 200


@dataclass(frozen=True, slots=True)
class MajorityBaseline:
    """Says the most frequent class of the training rows whatever the text is; `seconds` is what fitting took."""

    shares: Floats
    seconds: float

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """The class shares of the training rows, once a text: shape (texts, classes)."""
        return np.tile(self.shares, (len(texts), 1))


@dataclass(frozen=True, slots=True)
class TfidfBaseline:
    """Character 1- to 3-grams into logistic regression; `seconds` is what fitting took."""

    vectorizer: TfidfVectorizer
    model: LogisticRegression
    classes: int
    seconds: float

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Class probabilities of shape (texts, classes); a class without training rows has probability 0."""
        out = np.zeros((len(texts), self.classes))
        if texts:
            out[:, self.model.classes_] = self.model.predict_proba(self.vectorizer.transform(texts))
        return out


def fit_majority(labels: Ints, *, classes: int) -> MajorityBaseline:
    """The majority class of `labels`; of equally frequent ones the first.

    Raises:
        DataError: there are no rows.
    """
    started = time.perf_counter()
    _check_rows(len(labels))
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return MajorityBaseline(shares=shares, seconds=time.perf_counter() - started)


def fit_tfidf(texts: Sequence[str], labels: Ints, *, classes: int, seed: int) -> TfidfBaseline | MajorityBaseline:
    """TF-IDF of character 1- to 3-grams (sublinear tf) into L2 logistic regression on all classes at once.

    Rows that give it nothing to learn (one class only, or no character in any text) give the majority baseline.
    Characters need no word segmenter, and nobody can say that the segmenter made the baseline weak.

    Raises:
        DataError: there are no rows.
    """
    started = time.perf_counter()
    _check_rows(len(texts))
    if len(np.unique(labels)) < 2 or not any(text.strip() for text in texts):
        return fit_majority(labels, classes=classes)
    vectorizer = character_ngrams(len(texts), outputs=classes)
    model = fit_logistic(vectorizer.fit_transform(texts), labels, seed=seed)
    return TfidfBaseline(vectorizer=vectorizer, model=model, classes=classes, seconds=time.perf_counter() - started)


def character_ngrams(rows: int, *, outputs: int) -> TfidfVectorizer:
    """An unfitted TF-IDF of character 1- to 3-grams, for `rows` texts and a linear model of `outputs` outputs."""
    return TfidfVectorizer(
        analyzer="char",
        ngram_range=(1, 3),
        min_df=2 if rows >= _ROWS_FOR_MIN_DF else 1,
        max_features=min(_MAX_FEATURES, _MAX_WEIGHTS // outputs),
        sublinear_tf=True,
        dtype=np.float32,
    )


def fit_logistic(features: Any, labels: Ints, *, seed: int) -> LogisticRegression:
    """Logistic regression on sparse `features` of shape (rows, features); `labels` hold two classes or more."""
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=_MAX_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        # Stopped at the iteration limit it is still a fair baseline; nobody can act on the warning.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise DataError(
            "没有可以训练基线的行",
            "There are no rows to train a baseline on",
            todo_zh="给一份至少有一行的训练数据。",
            todo_en="Give training data of at least one row.",
        )
