"""`merge`: a bundle's adapter folded into its base, as a model that needs neither PEFT nor us."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qingtiao.bundle import load_bundle, read_manifest
from qingtiao.config import DataConfig, Quantize
from qingtiao.errors import BundleError, DataError, RunError
from qingtiao.files import disk_errors_as_ours, sync_folder
from qingtiao.models.quantise import weight_bytes
from qingtiao.predict import Predictor
from qingtiao.proof import largest_difference
from qingtiao.types import Row
from qingtiao.workflows.material import read_dataset


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model in `folder`: float32, `bytes` large.

    `max_abs_logit_difference` is the largest between what the task's `judge` gives with the adapter apart and merged,
    over `rows` rows. `quantize` is what the base was in training; the merged weights are never quantised.
    """

    folder: str
    quantize: Quantize
    bytes: int
    rows: int
    max_abs_logit_difference: float


def merge(bundle: Path, out: Path, *, data: str | None = None) -> Merged:
    """Write the merged model and its tokenizer into the new folder `out`.

    Args:
        data: rows to compare on; the built-in samples of the task when absent.

    Raises:
        BundleError: the bundle cannot be used, or its method has nothing that could be merged.
        RunError: `out` is there already, or cannot be written.
        EnvironmentLack: the disk is full.
    """
    _refuse_existing(out)
    manifest = read_manifest(bundle)
    apart = load_bundle(bundle, merge=False)
    rows = _rows(apart, manifest.task, data or f"samples:{manifest.task}")
    expected = apart.judge(rows)
    del apart  # two models at once may be one too many
    merged = load_bundle(bundle, merge=True)
    _refuse_unmerged(bundle, merged)
    difference = largest_difference(merged.judge(rows), expected)
    _write(out, merged)
    return Merged(str(out), manifest.base.quantize, weight_bytes(merged.model), len(rows), difference)


def _rows(predictor: Predictor, task: str, source: str) -> list[Row]:
    """The rows of `source`; without their targets where those are none of this bundle's (samples of other labels)."""
    options: dict[str, Any] = predictor.task.options.model_dump()
    dataset = read_dataset(DataConfig(train=source), task=task, task_options=options)
    rows = list(dataset.test or dataset.train)
    try:
        predictor.task.check(rows)
    except DataError:
        return [row.unanswered() for row in rows]
    return rows


def _refuse_unmerged(bundle: Path, merged: Predictor) -> None:
    from peft import PeftModel

    if isinstance(merged.model, PeftModel):
        raise BundleError(
            f"{bundle} 的方法没有可以合并进基座的权重",
            f"The method of {bundle} has no weights that could be merged into the base",
            todo_zh="直接用这个 bundle 预测。",
            todo_en="Predict with the bundle as it is.",
        )


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise RunError(
            f"{out} 已经在了",
            f"{out} is there already",
            todo_zh="换一个 --out，或者先把它移走。",
            todo_en="Choose another --out, or move it away first.",
        )


def _write(out: Path, merged: Predictor) -> None:
    unfinished = out.with_name(f".{out.name}.tmp")
    with disk_errors_as_ours(out):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        merged.model.save_pretrained(unfinished)
        merged.tokenizer.save_pretrained(unfinished)
        unfinished.rename(out)
        sync_folder(out.parent)
