"""Which device and which precision: measured, because a flag that claims bf16 says nothing of its speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]

# bf16 is worth its rounding only when it is clearly faster.
_WORTHWHILE = 1.2
_ROUNDS = 8


def pick_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def forked_random(device: torch.device) -> Iterator[None]:
    """What is drawn inside leaves torch's random states as they were: those of the processor and of `device`."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def pick_precision(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """`auto` takes bf16 where a short matrix product runs at least 1.2 times as fast as in float32.

    Processors without the instruction emulate it, 44 to 500 times slower (pytorch #146508).
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    return "bf16" if bf16_speedup() >= _WORTHWHILE else "fp32"


@cache
def bf16_speedup() -> float:
    """How many times as fast as float32 a bf16 matrix product runs on this processor; takes about 0.1 s.

    The best of several rounds of both by turns, on one thread: on a busy machine a product that is shared out waits
    for its slowest thread, and a handful in a row can all be held up by the same neighbour.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rounds = [(_product_seconds(torch.float32), _product_seconds(torch.bfloat16)) for _ in range(_ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    return min(full for full, _ in rounds) / min(half for _, half in rounds)


def _product_seconds(dtype: torch.dtype) -> float:
    size = 192  # small enough that even the emulated product takes milliseconds
    matrix = torch.ones(size, size, dtype=dtype)
    started = time.perf_counter()
    torch.mm(matrix, matrix)
    return time.perf_counter() - started


def memory_estimate(*, weights: int, trainable: int, batch_tokens: int, hidden_size: int, layers: int) -> int:
    """Bytes that training is expected to need: `weights` bytes of weights, gradients, AdamW state, kept activations.

    Activations are taken as 34 values a token, layer and hidden unit (Korthikanti et al. 2022, section 4.1,
    without the attention maps, which SDPA does not keep), in float32.
    """
    return weights + 12 * trainable + 4 * 34 * batch_tokens * hidden_size * layers
