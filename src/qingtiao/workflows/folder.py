"""The output folder of a run: held by one process, refused where it holds another run, read again by `--resume`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from qingtiao.config import PrecisionChoice, RunConfig, parse, read_yaml
from qingtiao.errors import RunError
from qingtiao.files import atomic_write_text, disk_errors_as_ours
from qingtiao.models.device import pick_device, pick_precision
from qingtiao.train.checkpoint import CheckpointStore


def stored_config(out: Path) -> RunConfig:
    """The config of the run in `out`.

    Raises:
        RunError: there is no run in `out`.
    """
    if not (out / "config.yaml").is_file():
        raise RunError(
            f"{out} 里没有可以接着跑的训练",
            f"There is no run in {out} to resume",
            todo_zh="检查 --out；第一次训练不用加 --resume。",
            todo_en="Check --out; a first run needs no --resume.",
        )
    return parse(RunConfig, {**read_yaml(out / "config.yaml"), "out": str(out)})


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, however it ends."""
    with disk_errors_as_ours(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"另一个进程正在用 {out}",
                f"Another process is at work in {out}",
                todo_zh="等它结束，或者换一个 --out。",
                todo_en="Wait for it to end, or choose another --out.",
            ) from None
    try:
        yield
    finally:
        lock.release()


def open_folder(out: Path, config: RunConfig, *, resume: bool, overwrite: bool) -> RunConfig:
    """Make the folder this run's, and settle what is measured: a resumed run must not probe to another precision."""
    # A run that died before its first checkpoint left nothing worth guarding: correct the call and run it again.
    finished = (out / "bundle").exists()
    begun = finished or CheckpointStore(out / "checkpoints").newest_step() > 0
    if finished and resume:
        raise RunError(
            f"{out} 里的训练已经完成，没有什么可以接着做的",
            f"The run in {out} is finished; there is nothing to resume",
            todo_zh=f"直接用 {out / 'bundle'}；要重来就加 --overwrite。",
            todo_en=f"Use {out / 'bundle'}; to begin anew add --overwrite.",
        )
    if begun and not (resume or overwrite):
        raise RunError(
            f"{out} 里已经有一次训练",
            f"{out} already holds a run",
            todo_zh="接着跑加 --resume，重来加 --overwrite，或者换一个 --out。",
            todo_en="Add --resume to go on, --overwrite to begin anew, or choose another --out.",
        )
    if not resume:
        _empty(out)
    if begun and resume and (out / "config.yaml").is_file():
        # What the run began with stays on disk; a config that differs is refused when its checkpoint is read.
        return _with_precision(config, stored_config(out).train.precision)
    config = _with_precision(config, pick_precision(config.train.precision, pick_device()))
    text = yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True, sort_keys=False)
    atomic_write_text(out / "config.yaml", text)
    return config


def _with_precision(config: RunConfig, chosen: PrecisionChoice) -> RunConfig:
    if config.train.precision != "auto":
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": chosen})})


def _empty(out: Path) -> None:
    """Remove what a run leaves, by name: the folder may hold other things. Fails now rather than at the end."""
    with disk_errors_as_ours(out):
        for name in ("bundle", ".bundle.tmp", "checkpoints", "tensorboard"):
            if (out / name).exists():
                shutil.rmtree(out / name)
    for name in ("config.yaml", "report.json", "report.html", "events.jsonl"):
        (out / name).unlink(missing_ok=True)
