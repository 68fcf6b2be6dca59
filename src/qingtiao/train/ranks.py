"""AdaLoRA between the steps: the penalty in its loss, and the ranks that it takes away while it trains.

Source: Zhang et al., AdaLoRA, 2023. PEFT computes the importances; when ranks go, and what a resumed run must know
of them, is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch

from qingtiao.errors import ConfigError

# Shares of all steps before any rank is taken away and after the last one is.
_FIRST, _LAST = 0.1, 0.3
# PEFT judges ranks by the steps before, so there must be one.
_FEWEST = 2
_MEANS, _PATTERN = ("exp_avg_ipt", "exp_avg_unc"), "pattern"


class RankBudget:
    """The ranks of one AdaLoRA model over `total_steps`."""

    def __init__(self, model: Any, total_steps: int) -> None:
        self.tuner = model.base_model
        self.config = model.peft_config["default"]
        self.allocator = self.tuner.rankallocator
        first, last = self.config.tinit, self.config.tfinal
        if not (first or last):
            first, last = int(_FIRST * total_steps), int(_LAST * total_steps)
        if first + last >= total_steps:
            raise ConfigError(
                f"adalora 的 tinit={first} 加 tfinal={last} 不能达到总步数 {total_steps}",
                f"tinit={first} and tfinal={last} of adalora leave nothing of {total_steps} steps",
                todo_zh="调小它们，或者去掉：默认按总步数的一成和三成。",
                todo_en="Lower them, or drop them: by default they are a tenth and three tenths of all steps.",
            )
        self.config.total_step, self.config.tinit, self.config.tfinal = total_steps, first, last
        # PEFT adds the penalty where the model itself computes the loss, which not every task lets it do.
        self.weight, self.config.orth_reg_weight = self.config.orth_reg_weight, 0.0

    @classmethod
    def of(cls, model: Any, total_steps: int) -> Self | None:
        """None for a model of another method."""
        return cls(model, total_steps) if hasattr(model.base_model, "rankallocator") else None

    def penalty(self) -> torch.Tensor:
        """How far the vectors of the triplets are from orthonormal, weighted; a scalar to be added to the loss."""
        distances = []
        for name, parameter in self.tuner.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                rows = parameter if ".lora_A." in name else parameter.T
                distances.append(torch.linalg.norm(rows @ rows.T - torch.eye(len(rows), device=rows.device)))
        penalty: torch.Tensor = self.weight * torch.stack(distances).mean()
        return penalty

    def after_step(self, step: int) -> None:
        """To be called with the number of finished steps, after the optimiser's and while the gradients are there."""
        if self.config.total_step - self.config.tfinal < _FEWEST:
            return
        self.tuner.update_and_allocate(step)

    def finish(self) -> None:
        """Leave the model to be saved: with all its ranks, of which those that were taken away are zero.

        The best weights may be of a step at which other ranks were left than at the end.
        """
        self.config.rank_pattern = None
        self.config.orth_reg_weight = self.weight

    def state(self) -> dict[str, torch.Tensor]:
        """What the next steps depend on."""
        means = {f"{kind}.{name}": t for kind in _MEANS for name, t in getattr(self.allocator, kind).items()}
        pattern = self.config.rank_pattern or {}
        return means | {f"{_PATTERN}.{name}": torch.tensor(kept) for name, kept in pattern.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        parts: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in (*_MEANS, _PATTERN)}
        for key, tensor in state.items():
            kind, _, name = key.partition(".")
            parts[kind][name] = tensor
        for kind in _MEANS:
            setattr(self.allocator, kind, parts[kind])
        # PEFT takes the presence of a name here for its presence in the means.
        self.allocator.ipt = {name: torch.zeros_like(mean) for name, mean in parts[_MEANS[0]].items()}
        self.config.rank_pattern = {name: kept.tolist() for name, kept in parts[_PATTERN].items()} or None
