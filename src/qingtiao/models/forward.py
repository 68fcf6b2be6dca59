"""Run a model over encoded rows: short rows with short rows, answers in the order asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qingtiao.models.device import Precision

Feature = Mapping[str, Any]
Collate = Callable[[Sequence[Feature]], dict[str, torch.Tensor]]
Forward = Callable[[Any, Mapping[str, torch.Tensor]], Sequence[NDArray[np.float32]]]

# Rows of one batch times its longest row. Larger batches overflow the caches and gain nothing on a CPU.
_BATCH_TOKENS = 4096


def length_of(feature: Feature) -> int:
    """Tokens that the model spends on the feature: `cost` where it says so (pictures cost many), else its input's."""
    return int(feature["cost"]) if "cost" in feature else len(feature["input_ids"])


def batches_by_length(features: Sequence[Feature], *, batch_tokens: int = _BATCH_TOKENS) -> list[list[int]]:
    """Indices of `features`, longest first, cut so that rows times longest row stays within `batch_tokens`."""
    order = sorted(range(len(features)), key=lambda index: -length_of(features[index]))
    batches: list[list[int]] = []
    for index in order:
        last = batches[-1] if batches else None
        if last is not None and (len(last) + 1) * length_of(features[last[0]]) <= batch_tokens:
            last.append(index)
        else:
            batches.append([index])
    return batches


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def run_rows(
    model: Any,
    features: Sequence[Feature],
    collate: Collate,
    forward: Forward,
    *,
    device: torch.device,
    precision: Precision,
) -> list[NDArray[np.float32]]:
    """What `forward` gives for each feature, in their order; the model is left in the mode it was in."""
    was_training = model.training
    if was_training:  # walking all modules to tell them what they know takes as long as two layers of a small model
        model.eval()
    parts: dict[int, NDArray[np.float32]] = {}
    try:
        with torch.inference_mode(), autocast(device, precision):
            for batch in batches_by_length(features):
                inputs = collate([features[index] for index in batch])
                outputs = forward(model, {name: tensor.to(device) for name, tensor in inputs.items()})
                parts.update(zip(batch, outputs, strict=True))
    finally:
        if was_training:
            model.train()
    return [parts[index] for index in range(len(features))]
