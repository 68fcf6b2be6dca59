"""From which probability on a label is said, when labels do not exclude each other."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from qingtiao.evaluate.metrics import Floats

Bools = npt.NDArray[np.bool_]
Mode = Literal["global", "label", "half"]

HALF = 0.5
# A threshold fitted to fewer positive rows than this says more about these rows than about the label.
_ENOUGH_POSITIVES = 10


def fit_thresholds(probabilities: Floats, gold: Bools, *, mode: Mode) -> tuple[float, ...]:
    """A threshold for each label, from rows of shape (rows, labels).

    `global` finds the one that gives the best micro-F1, `label` one for each label that gives its best F1, `half`
    keeps 0.5. A label with fewer than 10 positive rows takes the global one; with fewer than 10 positives in all, 0.5.
    """
    labels = range(gold.shape[1])
    if mode == "half" or gold.sum() < _ENOUGH_POSITIVES:
        return tuple(HALF for _ in labels)
    shared = best_threshold(probabilities.ravel(), gold.ravel())
    if mode == "global":
        return tuple(shared for _ in labels)
    return tuple(
        best_threshold(probabilities[:, label], gold[:, label]) if gold[:, label].sum() >= _ENOUGH_POSITIVES else shared
        for label in labels
    )


def best_threshold(scores: Floats, gold: Bools) -> float:
    """The threshold with the best F1 of `scores >= threshold`, both of shape (n,); of equals the highest.

    It lies half way between the lowest score that is taken and the next one below.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    f1 = 2 * np.cumsum(gold[order]) / (np.arange(1, len(ranked) + 1) + gold.sum())
    divides = np.append(ranked[:-1] > ranked[1:], True)  # equal scores fall on the same side
    last = int(np.argmax(np.where(divides, f1, -1.0)))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + below) / 2)
