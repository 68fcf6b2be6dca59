"""Temperature scaling: one number, fitted on dev rows, that makes confidences mean what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

# Fewer rows than this pin the temperature down less well than leaving it at 1.
_ENOUGH_ROWS = 50
_RANGE = (0.25, 8.0)


def fit_temperature(logits: npt.NDArray[np.float32], gold: npt.NDArray[np.int64]) -> float:
    """The temperature that minimises the negative log likelihood (Guo et al. 2017, section 4.2).

    Args:
        logits: shape (rows, classes).
        gold: class ids, shape (rows,).

    Returns:
        A value in [0.25, 8]; 1.0 where there are fewer than 50 rows to fit it on.
    """
    if len(gold) < _ENOUGH_ROWS:
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        chosen = scaled[np.arange(len(gold)), gold]
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - chosen))

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded")
    return float(np.exp(found.x))
