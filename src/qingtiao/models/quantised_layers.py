"""Linear layers in 8 and 4 bits, made from those of a base; imported only where bitsandbytes is installed."""

from __future__ import annotations

from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant
from torch import nn

# (outputs, rank) and (rank, inputs): what quantising took from the weight, see `quantise`.
Factors = tuple[torch.Tensor, torch.Tensor]

_OUTLIER = 6.0  # LLM.int8(), section 3.2: inputs above it are multiplied in full precision


class Linear4bit(bnb.nn.Linear4bit):  # type: ignore[misc]  # it has no types
    """nf4 with double quantisation (Dettmers et al., QLoRA, 2023, section 3), computed in float32.

    Under autocast the product itself is bf16. Were the type left to bitsandbytes, the first input would settle it for
    good, and a model that was trained under autocast would not compute what the same model does when it is loaded.
    """

    error: Factors | None = None

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, device: torch.device) -> None:
        outputs, inputs = weight.shape
        options: dict[str, Any] = {"compress_statistics": True, "quant_type": "nf4"}
        # On "meta" nothing is drawn from the random generator for weights that are replaced at once.
        super().__init__(inputs, outputs, bias=bias is not None, compute_dtype=torch.float32, device="meta", **options)
        # On CPUs with bf16 instructions bitsandbytes would, after the first look at dev rows, pack the weight for a
        # kernel that rounds inputs to bf16 and passes no gradient back.
        self.support_avx512bf16_for_cpu = False
        self.weight = bnb.nn.Params4bit(weight.contiguous(), requires_grad=False, module=self, **options).to(device)
        self.bias = bias

    def full(self) -> torch.Tensor:
        """The weight in float32, exactly as `forward` uses it; shape (outputs, inputs)."""
        weight: torch.Tensor = dequantize_4bit(self.weight.data, self.weight.quant_state)
        return weight.float()


class Linear8bit(bnb.nn.Linear8bitLt):  # type: ignore[misc]
    """LLM.int8() (Dettmers et al., 2022): training dequantises the weight, prediction quantises the inputs too."""

    error: Factors | None = None

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None, *, device: torch.device) -> None:
        outputs, inputs = weight.shape
        super().__init__(
            inputs, outputs, bias=bias is not None, has_fp16_weights=False, threshold=_OUTLIER, device="meta"
        )
        self.weight = bnb.nn.Int8Params(weight.contiguous(), requires_grad=False, has_fp16_weights=False).to(device)
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # bitsandbytes casts the bias to the type of the input and keeps it so: bf16 inputs would round it for good.
        outputs: torch.Tensor = super().forward(x.float())
        return outputs.to(x.dtype)

    def full(self) -> torch.Tensor:
        """The weight in float32; shape (outputs, inputs). Its statistics move at the first forward."""
        scales = self.weight.SCB if self.state.SCB is None else self.state.SCB
        weight: torch.Tensor = int8_vectorwise_dequant(self.weight.data, scales)
        return weight.float()


LAYERS: dict[str, type[Linear4bit] | type[Linear8bit]] = {"4bit": Linear4bit, "8bit": Linear8bit}
