"""How thin matrices lie in memory while they are trained on a CPU: column by column.

LoRA's B has thousands of rows and eight columns. With g the gradient of its output and z its input, a row for each
token, its own gradient is gᵀz; autograd computes that product for a weight that lies row by row, and (zᵀg)ᵀ for one
that lies column by column. But for rounding they are the same, yet a matrix library may take as long for the first as
for the product with the frozen weight beside it. `benchmarks/thin_gradients.py` measures what it is worth.
"""

from __future__ import annotations

import torch
from torch import nn

# Below so many rows a column, or above so many columns, a matrix is not thin: the two products cost the same.
_ROWS_A_COLUMN, _COLUMNS = 8, 64


def thin_weights(model: nn.Module) -> list[torch.Tensor]:
    """Those of linear layers that are trained. Embeddings, looked up row by row, are wider and stay as they are."""
    return [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad and is_thin(module.weight)
    ]


def is_thin(matrix: torch.Tensor) -> bool:
    return matrix.ndim == 2 and matrix.shape[1] <= min(_COLUMNS, matrix.shape[0] // _ROWS_A_COLUMN)


def lay_by_columns(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """The thin weights of `model`, with their gradients and what `optimizer` keeps for them, in place.

    Its fused kernel walks parameter, gradient and moments in the order of memory: all must lie alike. A wrapper for
    several processes notes the layout when it is made, so the weights must have theirs before it.
    """
    for weight in thin_weights(model):
        weight.data = _by_columns(weight.data)
        if weight.grad is not None:
            weight.grad = _by_columns(weight.grad)
        for name, kept in optimizer.state.get(weight, {}).items():
            if torch.is_tensor(kept) and kept.shape == weight.shape:
                optimizer.state[weight][name] = _by_columns(kept)


def lay_by_rows(model: nn.Module) -> None:
    """As PyTorch makes them and files want them, without their gradients; for a model that is trained no more."""
    for weight in thin_weights(model):
        weight.grad = None
        weight.data = weight.data.contiguous()


def _by_columns(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.t().contiguous().t()
