"""Where a run's events go besides the screen: `events.jsonl`, and TensorBoard when it is installed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from qingtiao.events import Evaluated, Event, Step, as_json
from qingtiao.files import atomic_write_text, disk_errors_as_ours


class Tracker(Protocol):
    """Takes every event of a run, in order."""

    def track(self, event: Event) -> None: ...

    def close(self) -> None: ...


class EventLog:
    """One JSON object a line, flushed at once, so that a crash loses nothing that was said.

    A resumed run goes through the steps after its checkpoint again: `resume_from` drops the lines that tell of
    them, and with None the log begins anew.
    """

    def __init__(self, path: Path, *, resume_from: int | None) -> None:
        self.path = path
        kept = [] if resume_from is None else _lines_until(path, resume_from)
        atomic_write_text(path, "".join(kept))
        self.file = path.open("a", encoding="utf-8")

    def track(self, event: Event) -> None:
        line = json.dumps(_finite(as_json(event)), ensure_ascii=False, allow_nan=False)
        with disk_errors_as_ours(self.path):
            self.file.write(line + "\n")
            self.file.flush()

    def close(self) -> None:
        self.file.close()


class TensorBoardLog:
    """Loss, learning rate and dev metrics under their own names."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder))

    def track(self, event: Event) -> None:
        if isinstance(event, Step):
            values: Mapping[str, float] = {
                "train/loss": event.loss,
                "train/learning_rate": event.learning_rate,
                "train/gradient_norm": event.gradient_norm,
            }
        elif isinstance(event, Evaluated):
            values = {f"dev/{name}": value for name, value in event.metrics.items()}
        else:
            return
        for name, value in values.items():
            self.writer.add_scalar(name, value, event.step)

    def close(self) -> None:
        self.writer.close()


def open_trackers(out: Path, *, resume_from: int | None) -> list[Tracker]:
    trackers: list[Tracker] = [EventLog(out / "events.jsonl", resume_from=resume_from)]
    if find_spec("tensorboard") is not None:
        trackers.append(TensorBoardLog(out / "tensorboard"))
    return trackers


def _lines_until(path: Path, step: int) -> list[str]:
    """The whole lines of the log that tell of nothing after `step`; a crash may have left half a line."""
    if not path.exists():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if line.endswith("\n") and event.get("step", 0) <= step:
            kept.append(line)
    return kept


def _finite(value: Any) -> Any:
    """NaN and infinity, which JSON does not know, as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return value
