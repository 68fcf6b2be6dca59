"""Scores that are functions of sums over rows, so that one bootstrap gives every one of them its interval.

A task turns each answered row into a few numbers (true positives, lengths, n-gram matches, squares …); the score is
computed from their sums. Resampling rows is then one matrix product, whatever the score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qingtiao.evaluate.metrics import Floats, ratio
from qingtiao.evaluate.stats import LEVEL, RESAMPLES, Interval

# Resampled counts held at once: 4M of them are 32 MB.
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Measure:
    """A score. `of_sums` takes sums of shape (…, k) and gives values of shape (…); k is the task's own.

    `share` says that the value lies between 0 and 1 and reads best in percent; `of_one_row` that it means something for
    a row on its own, as a correlation does not.
    """

    name: str
    zh: str
    en: str
    of_sums: Callable[[Floats], Floats]
    higher_is_better: bool = True
    share: bool = True
    of_one_row: bool = True

    def value(self, rows: Floats) -> float:
        """The score of rows of shape (n, k)."""
        return float(self.of_sums(rows.sum(axis=0)))

    def as_json(self) -> dict[str, Any]:
        return {"zh": self.zh, "en": self.en, "higher_is_better": self.higher_is_better, "share": self.share}

    def by_row(self, rows: Floats) -> Floats:
        """The score of each row on its own, shape (n,)."""
        return np.asarray(self.of_sums(rows), dtype=np.float64)


def mean_of(column: int, count: int) -> Callable[[Floats], Floats]:
    """Sum over `column` divided by the sum over `count`; 0 where that is 0."""
    return lambda sums: np.nan_to_num(ratio(sums[..., column], sums[..., count]))


def f1_of(true_positives: int, predicted: int, gold: int) -> Callable[[Floats], Floats]:
    """Micro-F1 of three columns of counts. Nothing predicted where nothing was to be found is right: 1."""

    def f1(sums: Floats) -> Floats:
        both = sums[..., predicted] + sums[..., gold]
        return np.where(both > 0, np.nan_to_num(ratio(2 * sums[..., true_positives], both)), 1.0)

    return f1


def pearson_of(x: int, y: int, xx: int, yy: int, xy: int, n: int) -> Callable[[Floats], Floats]:
    """Pearson's correlation from sums of x, y, their squares, their product, and the count; 0 without variance."""

    def correlation(sums: Floats) -> Floats:
        count = np.maximum(sums[..., n], 1)
        covariance = sums[..., xy] / count - sums[..., x] * sums[..., y] / count**2
        variances = [sums[..., s] / count - (sums[..., m] / count) ** 2 for m, s in ((x, xx), (y, yy))]
        spread = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
        return np.clip(np.nan_to_num(ratio(covariance, np.where(spread > 1e-12, spread, 0.0))), -1, 1)

    return correlation


def interval(measure: Measure, rows: Floats, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Percentile bootstrap interval over rows (n, k).

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    drawn = np.concatenate([measure.of_sums(counts @ rows) for counts in _resampled(len(rows), resamples, seed)])
    return _percentiles(drawn)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one is than another on the same rows: positive is better, whichever way the measure points.

    `p` is two-sided, from the share of resamples on the other side of 0.
    """

    value: float
    interval: Interval
    p: float


def difference(measure: Measure, first: Floats, second: Floats, *, seed: int, resamples: int = RESAMPLES) -> Difference:
    """Paired bootstrap of first - second, both of shape (n, k): both see the same resampled rows."""
    sign = 1.0 if measure.higher_is_better else -1.0
    drawn = sign * np.concatenate(
        [
            measure.of_sums(counts @ first) - measure.of_sums(counts @ second)
            for counts in _resampled(len(first), resamples, seed)
        ]
    )
    # Ties count on both sides, and one pseudo-draw keeps p off an impossible 0.
    tail = min(np.sum(drawn <= 0), np.sum(drawn >= 0)) + 1
    return Difference(
        value=sign * (measure.value(first) - measure.value(second)),
        interval=_percentiles(drawn),
        p=min(1.0, 2 * float(tail) / (len(drawn) + 1)),
    )


def _resampled(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of n rows is drawn, in chunks of shape (some, n)."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // n)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _percentiles(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
