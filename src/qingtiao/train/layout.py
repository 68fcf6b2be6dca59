"""How thin matrices lie in memory while they are trained on a CPU: column by column.

LoRA's B has thousands of rows and eight columns. With g the gradient of its output and z its input, a row for each
token, its own gradient is gᵀz; autograd computes that product for a weight that lies row by row, and (zᵀg)ᵀ for one
that lies column by column. The numbers are the same, but a matrix library is up to forty times slower at the first:
as slow as at the product with the frozen weight beside it. `benchmarks/thin_gradients.py` measures what it is worth.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

# Below this many rows a column the matrix is no longer thin, and the two products cost the same.
_THIN = 8


def is_thin(parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and parameter.shape[0] >= _THIN * parameter.shape[1]


def lay_by_columns(parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Thin ones of `parameters`, with their gradients and what `optimizer` keeps for them, in place.

    Its fused kernel walks parameter, gradient and moments in the order of memory: all must lie alike.
    """
    for parameter in filter(is_thin, parameters):
        parameter.data = _by_columns(parameter.data)
        if parameter.grad is not None:
            parameter.grad = _by_columns(parameter.grad)
        for name, kept in optimizer.state.get(parameter, {}).items():
            if torch.is_tensor(kept) and kept.shape == parameter.shape:
                optimizer.state[parameter][name] = _by_columns(kept)


def lay_by_rows(parameters: Iterable[nn.Parameter]) -> None:
    """As PyTorch makes them, and as the files of weights want them; for parameters that are trained no more."""
    for parameter in parameters:
        parameter.grad = None
        parameter.data = parameter.data.contiguous()


def _by_columns(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.t().contiguous().t()
