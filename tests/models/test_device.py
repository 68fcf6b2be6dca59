"""Precision is measured, and measuring leaves the process as it was."""

from __future__ import annotations

import pytest
import torch

from qingtiao.models.device import bf16_speedup, pick_precision


def test_measuring_puts_the_number_of_threads_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        bf16_speedup.cache_clear()
        assert bf16_speedup() > 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_asked_for_is_not_measured(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qingtiao.models.device.bf16_speedup", lambda: pytest.fail("measured"))
    assert pick_precision(wanted, torch.device("cpu")) == wanted
