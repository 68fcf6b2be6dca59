"""AdamW and the learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qingtiao.models.adapter import trainable

# What a group's rate is, times the rate of the schedule.
FACTOR = "factor"
_OF_B = ("lora_B", "lora_embedding_B")


def adamw(model: nn.Module, *, learning_rate: float, weight_decay: float, ratio_of_b: float = 1.0) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; biases and norms (one dimension) are not decayed.

    Args:
        ratio_of_b: the learning rate of LoRA's B matrices over that of everything else.

    Source: Hayou et al., LoRA+, 2024, for two rates.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable(model).items():
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        factor = ratio_of_b if any(matrix in name for matrix in _OF_B) else 1.0
        groups.setdefault((-decay, factor), []).append(parameter)
    parts: list[dict[str, Any]] = [
        {"params": members, "weight_decay": -decay, FACTOR: factor}
        for (decay, factor), members in sorted(groups.items(), key=lambda item: item[0])
    ]
    # Adapters are many small matrices: one fused kernel, not a Python loop over them.
    return torch.optim.AdamW(parts, lr=learning_rate, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Put the rate of the schedule into force, for each group times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTOR]


def scheduled_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Rate of the step with this index (from 0): linear up to `peak`, then linear down to 0 at `total_steps`."""
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    return peak * max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
