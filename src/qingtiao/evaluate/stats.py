"""How far a score can be trusted: intervals for one classifier, and tests for two on the same rows.

No scipy here: what is needed of it is the binomial tail and the normal quantile, both in the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from qingtiao.evaluate.metrics import Floats, Ints, accuracy, confusion_matrix, macro_f1, ratio

LEVEL = 0.95
RESAMPLES = 2000
# Resamples x distinct cells held at once: 4M counts are 32 MB.
_CHUNK_CELLS = 4_000_000
_NORMAL = NormalDist()


class Interval(NamedTuple):
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two classifiers on the same rows. `first_only` rows were right in the first alone; p values are two-sided."""

    n: int
    first_only: int
    second_only: int
    p_exact: float
    p_mid: float


def wilson_interval(correct: int, n: int, *, level: float = LEVEL) -> Interval:
    """Score interval of a proportion; unlike the textbook one it holds its level at 0, at n and at small n.

    Source: Wilson, Probable Inference, JASA 1927; recommended by Brown, Cai & DasGupta, Statistical Science 2001.
    `n` must be at least 1.
    """
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n the exact ends are 0 and 1; rounding would miss them by 1e-17.
    return Interval(
        low=0.0 if correct == 0 else max(0.0, centre - half),
        high=1.0 if correct == n else min(1.0, centre + half),
    )


def macro_f1_interval(
    gold: Ints, predicted: Ints, *, classes: int, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """BCa bootstrap interval of macro-F1 over rows.

    Rows that share gold and predicted class are interchangeable, so resampling n rows is one multinomial draw over
    the non-empty cells of the confusion matrix: the cost does not grow with n.
    Where every row is right, or none is, all resamples are equal and the bootstrap would claim certainty; the Wilson
    interval of the accuracy stands in.

    Source: Efron, Better Bootstrap Confidence Intervals, JASA 1987 (BCa).

    Raises:
        DataError: there are no rows, or an id is outside 0 .. classes - 1.
        QingtiaoError: the two arrays differ in length.
    """
    matrix = confusion_matrix(gold, predicted, classes=classes)
    correct = int(np.trace(matrix))
    if correct in (0, len(gold)):
        return wilson_interval(correct, len(gold), level=level)
    of_gold, of_predicted = np.nonzero(matrix)
    counts = matrix[of_gold, of_predicted]

    drawn = [
        _macro_f1_of_counts(draws, of_gold, of_predicted, classes=classes)
        for draws in _multinomial(counts, resamples=resamples, seed=seed)
    ]
    return _bca(
        estimate=macro_f1(gold, predicted, classes=classes),
        drawn=np.concatenate(drawn),
        jackknife=_macro_f1_without_one(matrix, of_gold, of_predicted),
        weights=counts,
        level=level,
    )


def macro_f1_difference_interval(
    gold: Ints,
    first: Ints,
    second: Ints,
    *,
    classes: int,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Paired percentile bootstrap interval of macro-F1(first) - macro-F1(second): both see the same resampled rows.

    Where the two never differ it is [0, 0], which says that these rows cannot tell them apart, not that they are equal.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Raises:
        DataError: there are no rows, or an id is outside 0 .. classes - 1.
        QingtiaoError: the arrays differ in length.
    """
    macro_f1(gold, first, classes=classes), macro_f1(gold, second, classes=classes)  # for their checks
    cells, counts = np.unique(np.stack([gold, first, second]), axis=1, return_counts=True)
    drawn = [
        _macro_f1_of_counts(draws, cells[0], cells[1], classes=classes)
        - _macro_f1_of_counts(draws, cells[0], cells[2], classes=classes)
        for draws in _multinomial(counts, resamples=resamples, seed=seed)
    ]
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def mcnemar(gold: Ints, first: Ints, second: Ints) -> McNemar:
    """McNemar's test of equal accuracy: only rows that exactly one of the two gets right can tell.

    `p_exact` is the two-sided binomial test on those rows (1 when there are none). It is conservative; `p_mid` takes
    off half of the probability of the observed split on each side and stays near its level at every n.

    Source: McNemar, Psychometrika 1947; mid-p as Fagerland, Lydersen & Laake, BMC Med. Res. Methodology 2013.

    Raises:
        DataError: there are no rows.
        QingtiaoError: the arrays differ in length.
    """
    accuracy(gold, first), accuracy(gold, second)  # for their checks
    first_right, second_right = first == gold, second == gold
    first_only = int(np.sum(first_right & ~second_right))
    second_only = int(np.sum(second_right & ~first_right))
    smaller, trials = min(first_only, second_only), first_only + second_only
    tail = math.fsum(_half_binomial(k, trials) for k in range(smaller + 1))
    return McNemar(
        n=len(gold),
        first_only=first_only,
        second_only=second_only,
        p_exact=min(1.0, 2 * tail),
        p_mid=min(1.0, 2 * tail - _half_binomial(smaller, trials)),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values of several tests, raised so that the chance of even one false alarm among them stays below alpha.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statistics 1979.
    """
    raised, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        raised[index] = highest
    return raised


def accuracy_difference_interval(test: McNemar, *, level: float = LEVEL) -> Interval:
    """Interval of accuracy(first) - accuracy(second) on the same rows, from the discordant counts.

    A paired bootstrap of the accuracy says [0, 0] when the two never differ and is too narrow when rows are few; this
    closed form, which adds one row to each discordant count, holds its level there too.

    Source: Bonett & Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired
    Data, J. Educ. Behav. Stat. 2012; recommended by Fagerland, Lydersen & Laake, Statistics in Medicine 2014.
    """
    z = _NORMAL.inv_cdf((1 + level) / 2)
    first, second = (test.first_only + 1) / (test.n + 2), (test.second_only + 1) / (test.n + 2)
    half = z * math.sqrt((first + second - (first - second) ** 2) / (test.n + 2))
    return Interval(max(-1.0, first - second - half), min(1.0, first - second + half))


def _half_binomial(k: int, trials: int) -> float:
    """P(X = k) for X ~ Binomial(trials, 1/2), through logarithms so that thousands of trials do not overflow."""
    log_ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
    return math.exp(log_ways - trials * math.log(2))


def _multinomial(counts: Ints, *, resamples: int, seed: int) -> Iterator[Ints]:
    """`resamples` draws of `counts.sum()` rows over the cells, in chunks of shape (some, cells)."""
    generator = np.random.default_rng(seed)
    shares = counts / counts.sum()
    chunk = max(1, _CHUNK_CELLS // len(counts))
    for start in range(0, resamples, chunk):
        yield generator.multinomial(int(counts.sum()), shares, size=min(chunk, resamples - start))


def _macro_f1_of_counts(draws: Ints, of_gold: Ints, of_predicted: Ints, *, classes: int) -> Floats:
    """Macro-F1 of each of (draws, cells) counts; cell j holds rows of gold class `of_gold[j]` and so on."""
    identity = np.eye(classes)
    rows = draws.astype(np.float64)
    right = rows @ (identity[of_gold] * (of_gold == of_predicted)[:, None])
    both = rows @ (identity[of_gold] + identity[of_predicted])
    f1: Floats = np.nanmean(ratio(2 * right, both), axis=1)
    return f1


def _macro_f1_without_one(matrix: Ints, of_gold: Ints, of_predicted: Ints) -> Floats:
    """Macro-F1 with one row of each cell left out, shape (cells,): the jackknife, once for each kind of row."""
    identity = np.eye(len(matrix))
    right = np.diag(matrix) - identity[of_gold] * (of_gold == of_predicted)[:, None]
    both = matrix.sum(axis=0) + matrix.sum(axis=1) - identity[of_gold] - identity[of_predicted]
    # The class of a lone row goes with it; where that was the only row, the score stays as bad as it can be.
    f1: Floats = np.nan_to_num(ratio(2 * right, both))
    defined = (both > 0).sum(axis=1)
    return np.asarray(f1.sum(axis=1) / np.maximum(defined, 1), dtype=np.float64)


def _bca(*, estimate: float, drawn: Floats, jackknife: Floats, weights: Ints, level: float) -> Interval:
    """Efron's bias-corrected and accelerated quantiles; `weights[j]` rows share the jackknife value `jackknife[j]`."""
    # Ties count half, and one pseudo-draw on either side keeps the correction finite.
    below = (np.sum(drawn < estimate) + np.sum(drawn == estimate) / 2 + 0.5) / (len(drawn) + 1)
    bias = _NORMAL.inv_cdf(float(below))
    gap = np.average(jackknife, weights=weights) - jackknife
    spread = float(np.sum(weights * gap**2))
    acceleration = float(np.sum(weights * gap**3)) / (6 * spread**1.5) if spread > 0 else 0.0

    def quantile(share: float) -> float:
        shifted = bias + _NORMAL.inv_cdf(share)
        corrected = _NORMAL.cdf(bias + shifted / (1 - acceleration * shifted))
        return float(np.quantile(drawn, corrected))

    ends = quantile((1 - level) / 2), quantile((1 + level) / 2)
    return Interval(min(ends), max(ends))
