"""Thin matrices that lie column by column: the same numbers, and everything that walks them in memory agrees."""

from __future__ import annotations

import torch
from torch import nn

from qingtiao.train.checkpoint import load_optimizer_tensors, optimizer_tensors
from qingtiao.train.layout import is_thin, lay_by_columns, lay_by_rows


def linear(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.clone())
    return layer


def step(layer: nn.Linear, optimizer: torch.optim.Optimizer, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, g = torch.randn(6, 2, generator=generator), torch.randn(6, 64, generator=generator)
    optimizer.zero_grad()
    (layer(z) * g).sum().backward()
    optimizer.step()


def test_thin_is_what_has_many_rows_a_column() -> None:
    assert is_thin(torch.empty(64, 8)) and not is_thin(torch.empty(63, 8))
    assert not is_thin(torch.empty(8, 64)) and not is_thin(torch.empty(64)) and not is_thin(torch.empty(64, 2, 2))
    assert is_thin(torch.empty(4096, 64)) and not is_thin(torch.empty(4096, 65))


def test_embeddings_and_frozen_weights_are_left_alone() -> None:
    model = nn.ModuleDict({"words": nn.Embedding(64, 2), "frozen": nn.Linear(2, 64), "b": nn.Linear(2, 64)})
    model["frozen"].requires_grad_(False)
    lay_by_columns(model)
    assert [module.weight.is_contiguous() for module in model.values()] == [True, True, False]


def test_steps_are_the_same_in_both_layouts_and_after_resuming() -> None:
    start = torch.randn(64, 2)
    layers = [linear(start) for _ in range(3)]
    optimizers = [torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True) for layer in layers]
    by_rows, by_columns, resumed = (layer.weight for layer in layers)
    lay_by_columns(layers[1])
    lay_by_columns(layers[2])
    for seed in range(6):
        if seed == 3:
            saved = optimizer_tensors(optimizers[2])
            assert all(tensor.is_contiguous() for tensor in saved.values())
            optimizers[2] = torch.optim.AdamW([resumed], lr=0.1, fused=True)
            load_optimizer_tensors(optimizers[2], saved)
        for layer, optimizer in zip(layers, optimizers, strict=True):
            step(layer, optimizer, seed=seed)
    assert by_rows.stride() == (2, 1)
    for weight, optimizer in ((by_columns, optimizers[1]), (resumed, optimizers[2])):
        assert weight.stride() == (1, 64)
        assert weight.grad is not None and weight.grad.stride() == (1, 64)
        moments = [kept for kept in optimizer.state[weight].values() if kept.ndim == 2]
        assert len(moments) == 2 and all(moment.stride() == (1, 64) for moment in moments)
        torch.testing.assert_close(weight, by_rows, rtol=0, atol=1e-5)
    assert not torch.allclose(by_rows, start, atol=0.1)


def test_laid_back_by_rows_they_are_what_files_want() -> None:
    layer = linear(torch.randn(64, 2))
    before = layer.weight.detach().clone()
    lay_by_columns(layer)
    assert not layer.weight.is_contiguous()
    lay_by_rows(layer)
    assert layer.weight.is_contiguous() and torch.equal(layer.weight, before)
