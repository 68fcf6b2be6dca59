"""AdamW and the learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qingtiao.models.adapter import trainable


def adamw(model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; biases and norms (one dimension) are not decayed."""
    parameters = trainable(model).values()
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    # Adapters are many small matrices: one fused kernel, not a Python loop over them.
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=True)


def scheduled_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Rate of the step with this index (from 0): linear up to `peak`, then linear down to 0 at `total_steps`."""
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    return peak * max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
