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


def lay_by_columns(model: nn.Module) -> None:
    """The thin weights of `model`, in place, before they have gradients.

    Autograd lays the gradients like them, and AdamW its moments. A wrapper for several processes notes the layout when
    it is made, so the weights must have theirs before it.
    """
    for weight in thin_weights(model):
        weight.data = weight.data.t().contiguous().t()


def lay_by_rows(model: nn.Module) -> None:
    """As PyTorch makes them and files want them; for a model that is trained no more."""
    for weight in thin_weights(model):
        weight.data = weight.data.contiguous()
