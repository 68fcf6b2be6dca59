"""Perplexity of texts that a model is made to say, from the log-probabilities of their tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.metrics import Floats

_LARGEST_EXPONENT = 700.0  # of which a float still holds the power


def _perplexity(sums: Floats) -> Floats:
    return np.exp(sums[..., 0] / np.maximum(sums[..., 1], 1))


PERPLEXITY = Measure(
    "perplexity", "回答的困惑度", "perplexity of answers", _perplexity, higher_is_better=False, share=False
)


def perplexity_rows(outputs: Sequence[NDArray[np.float32]]) -> Floats:
    """What `PERPLEXITY` sums over, of each row's log-probabilities: shape (rows, 2)."""
    sums = [(-output.sum(dtype=np.float64), len(output)) for output in outputs]
    return np.array(sums, dtype=np.float64).reshape(len(outputs), 2)


def loss_and_perplexity(outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Over all tokens of all rows, by name."""
    total, tokens = perplexity_rows(outputs).sum(axis=0)
    loss = float(total) / max(1.0, float(tokens))
    return {"loss": loss, "perplexity": math.exp(min(loss, _LARGEST_EXPONENT))}
