"""Checkpoints: whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qingtiao.errors import RunError
from qingtiao.train.checkpoint import Checkpoint, CheckpointStore, Progress


def checkpoint(step: int) -> Checkpoint:
    weights = {"a": torch.full((2, 3), float(step))}
    return Checkpoint(Progress(run="r", step=step), weights, weights, {"0.exp_avg": torch.ones(2)})


def test_round_trip_restores_the_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    CheckpointStore(tmp_path).save(checkpoint(4))
    expected = torch.rand(3)
    torch.manual_seed(6)
    found = CheckpointStore(tmp_path).newest(run="r")
    assert found is not None and found.progress.step == 4
    assert torch.equal(found.weights["a"], torch.full((2, 3), 4.0))
    assert set(found.optimizer) == {"0.exp_avg"}
    assert torch.equal(torch.rand(3), expected)


def test_keeps_the_newest_two(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2, 30):
        store.save(checkpoint(step))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000002", "step-000000030"]


@pytest.mark.parametrize("name", ["weights.safetensors", "best.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, name: str, damage: str) -> None:
    store = CheckpointStore(tmp_path)
    store.save(checkpoint(1))
    path = store.save(checkpoint(2)) / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(bytes(content))
    found = store.newest(run="r")
    assert found is not None and found.progress.step == 1
    assert store.newest_step() == 1


def test_half_written_folders_are_ignored(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    (tmp_path / ".step-000000009.tmp").mkdir()
    assert store.newest(run="r") is None
    store.save(checkpoint(9))
    assert store.newest_step() == 9


def test_another_run_is_refused(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save(checkpoint(1))
    with pytest.raises(RunError):
        CheckpointStore(tmp_path).newest(run="other")
