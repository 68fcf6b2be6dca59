"""The order of the rows: a function of seed and epoch alone, so that any moment of a run can be found again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Rows are shuffled, cut into pools of this many batches, and sorted by length inside each pool: nearly as
# little padding as a full sort, and still another neighbourhood for each row every epoch.
_POOL_BATCHES = 50

# What the processes do at the same time: the row indices of one batch for each of them.
Round = list[list[int]]


def epoch_batches(
    lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int, group_by_length: bool
) -> list[list[int]]:
    """Row indices of each batch of one epoch; every row exactly once."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    if group_by_length:
        size = batch_size * _POOL_BATCHES
        sizes = np.asarray(lengths)
        pools = [order[start : start + size] for start in range(0, len(order), size)]
        order = np.concatenate([pool[np.argsort(-sizes[pool], kind="stable")] for pool in pools])
    batches = [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]
    if group_by_length:
        batches = [batches[index] for index in rng.permutation(len(batches))]
    return batches


def steps_of(batches: Sequence[list[int]], *, accumulation: int, processes: int) -> list[list[Round]]:
    """Batches dealt out to optimiser steps, for each of them as many rounds as it accumulates.

    Every process gets the same number of steps and micro-batches: where the batches do not divide evenly, the
    first ones are dealt again.
    """
    rounds: list[Round] = [
        [batches[(start + i) % len(batches)] for i in range(processes)] for start in range(0, len(batches), processes)
    ]
    return [rounds[start : start + accumulation] for start in range(0, len(rounds), accumulation)]
