"""Checkpoints that are whole or not there: written under another name, synced, renamed, checksummed.

No pickle: tensors as safetensors, the rest as JSON. A checkpoint whose files do not match their checksums is
passed over for the one before it, so a crash at any moment costs at most the time since the last save.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialise

from qingtiao.errors import RunError
from qingtiao.files import disk_errors_as_ours, file_sha256, sync_folder

_KEEP = 2
_RANKS = "ranks."
_STATE, _WEIGHTS, _BEST, _OPTIMIZER = "state.json", "weights.safetensors", "best.safetensors", "optimizer.safetensors"


@dataclass(slots=True)
class Progress:
    """Where a run stands. `step` counts finished optimiser steps; `best_metric` is None before the first look."""

    run: str
    step: int = 0
    best_step: int = 0
    best_metric: float | None = None
    epochs_without_progress: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`best` and `weights` are trainable parameters by name; `ranks` is what AdaLoRA knows of their importance."""

    progress: Progress
    weights: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    ranks: Mapping[str, torch.Tensor] = field(default_factory=dict)


class CheckpointStore:
    """The checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write one checkpoint and drop all but the newest two.

        Raises:
            EnvironmentLack: the disk is full; the checkpoints already there stay.
        """
        final = self.folder / f"step-{checkpoint.progress.step:09d}"
        temporary = self.folder / f".{final.name}.tmp"
        with disk_errors_as_ours(self.folder):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            try:
                self._write(temporary, checkpoint)
                if final.exists():
                    shutil.rmtree(final)
                temporary.rename(final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync_folder(self.folder)
        for old in self._folders()[:-_KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def _write(self, folder: Path, checkpoint: Checkpoint) -> None:
        # Serialised here and written by Python: safetensors' own writer hides a full disk behind its own error.
        (folder / _WEIGHTS).write_bytes(serialise(dict(checkpoint.weights)))
        (folder / _BEST).write_bytes(serialise(dict(checkpoint.best)))
        ranks = {f"{_RANKS}{name}": tensor.cpu().contiguous() for name, tensor in checkpoint.ranks.items()}
        (folder / _OPTIMIZER).write_bytes(serialise({**checkpoint.optimizer, **_random_state(), **ranks}))
        state = {
            "progress": dataclasses.asdict(checkpoint.progress),
            "sha256": {name: file_sha256(folder / name) for name in (_WEIGHTS, _BEST, _OPTIMIZER)},
        }
        (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(folder)

    def newest(self, *, run: str) -> Checkpoint | None:
        """The newest whole checkpoint, with torch's random state put back.

        `run` identifies settings and data: continuing with others would give neither result.

        Raises:
            RunError: the checkpoint belongs to another configuration or other data.
        """
        for folder in reversed(self._folders()):
            state = _verified_state(folder)
            if state is None:
                continue
            progress = Progress(**state["progress"])
            if progress.run != run:
                raise RunError(
                    f"{self.folder} 里的进度属于另一份设置、另一份数据或者另一个进程数，接不上",
                    f"The progress in {self.folder} belongs to other settings, data or another number of processes",
                    todo_zh="用原来的设置、数据和进程数加 --resume，或者换一个 --out 重新开始。",
                    todo_en="Resume with what it began with, or start anew in another --out.",
                )
            tensors = load_file(folder / _OPTIMIZER)
            _restore_random_state(tensors)
            optimizer = {name: t for name, t in tensors.items() if not name.startswith(("random.", _RANKS))}
            ranks = {name.removeprefix(_RANKS): t for name, t in tensors.items() if name.startswith(_RANKS)}
            return Checkpoint(progress, load_file(folder / _WEIGHTS), load_file(folder / _BEST), optimizer, ranks)
        return None

    def newest_step(self) -> int:
        """The step of the newest whole checkpoint; 0 when there is none."""
        for folder in reversed(self._folders()):
            if (state := _verified_state(folder)) is not None:
                return int(state["progress"]["step"])
        return 0

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state as named tensors: `<index of the parameter>.<entry>`."""
    states = optimizer.state_dict()["state"]
    return {
        f"{i}.{name}": torch.as_tensor(v).cpu().contiguous() for i, entry in states.items() for name, v in entry.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # The fused kernel walks a parameter and its moments in the order of memory: they must lie alike.
    for parameter, kept in optimizer.state.items():
        for name, moment in kept.items():
            if moment.shape == parameter.shape and moment.stride() != parameter.stride():
                kept[name] = torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


def _random_state() -> dict[str, torch.Tensor]:
    """Dropout draws from torch's generators; the order of the rows draws from none (see `train.batches`)."""
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_state(tensors: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def _verified_state(folder: Path) -> dict[str, Any] | None:
    """The state of a whole checkpoint; None for a damaged one."""
    try:
        state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        whole = all(file_sha256(folder / name) == sha for name, sha in state["sha256"].items())
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return state if whole else None
