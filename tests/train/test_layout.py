"""Thin matrices that lie column by column: the same numbers, and everything that walks them in memory agrees."""

from __future__ import annotations

import torch
from torch import nn

from qingtiao.train.layout import is_thin, lay_by_columns, lay_by_rows


def stepped(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, *, seed: int) -> None:
    """One step along the gradient of a product as LoRA's B has it."""
    generator = torch.Generator().manual_seed(seed)
    z, g = torch.randn(6, 2, generator=generator), torch.randn(6, 64, generator=generator)
    optimizer.zero_grad()
    (nn.functional.linear(z, parameter) * g).sum().backward()
    optimizer.step()


def test_only_thin_matrices_are_touched() -> None:
    assert is_thin(torch.empty(64, 8)) and not is_thin(torch.empty(63, 8))
    assert not is_thin(torch.empty(8, 64)) and not is_thin(torch.empty(64)) and not is_thin(torch.empty(64, 2, 2))


def test_steps_are_the_same_in_both_layouts_and_after_a_change_between_them() -> None:
    start = torch.randn(64, 2)
    by_rows, by_columns, changed = (nn.Parameter(start.clone()) for _ in range(3))
    optimizers = [torch.optim.AdamW([one], lr=0.1, fused=True) for one in (by_rows, by_columns, changed)]
    lay_by_columns([by_columns], optimizers[1])
    for seed in range(6):
        if seed == 3:  # with a gradient and moments that lie by rows
            lay_by_columns([changed], optimizers[2])
        for parameter, optimizer in zip((by_rows, by_columns, changed), optimizers, strict=True):
            stepped(parameter, optimizer, seed=seed)
    assert by_rows.stride() == (2, 1)
    for parameter, optimizer in ((by_columns, optimizers[1]), (changed, optimizers[2])):
        assert parameter.stride() == (1, 64)
        assert parameter.grad is not None and parameter.grad.stride() == (1, 64)
        moments = [kept for kept in optimizer.state[parameter].values() if kept.ndim == 2]
        assert len(moments) == 2 and all(moment.stride() == (1, 64) for moment in moments)
        torch.testing.assert_close(parameter, by_rows, rtol=0, atol=1e-5)
    assert not torch.allclose(by_rows, start, atol=0.1)


def test_laid_back_by_rows_they_are_what_files_want() -> None:
    parameter = nn.Parameter(torch.randn(64, 2))
    before = parameter.detach().clone()
    lay_by_columns([parameter], torch.optim.AdamW([parameter]))
    assert not parameter.is_contiguous()
    lay_by_rows([parameter])
    assert parameter.is_contiguous() and torch.equal(parameter, before)
