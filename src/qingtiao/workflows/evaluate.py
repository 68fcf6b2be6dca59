"""`evaluate`: a bundle's scores on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qingtiao.bundle import load_bundle, read_manifest
from qingtiao.config import DataConfig
from qingtiao.errors import DataError
from qingtiao.evaluate.judging import block_of
from qingtiao.task import TeacherForced
from qingtiao.workflows.material import read_dataset


def evaluate(bundle: Path, data: DataConfig, *, task_options: dict[str, Any] | None = None) -> dict[str, Any]:
    """The block of a report (`n`, then each score and its interval) for the rows of `data.train`.

    A source with splits of its own is judged on its test rows.

    Raises:
        BundleError: the bundle cannot be used.
        DataError: the rows cannot be read, or bear a target that cannot be judged.
    """
    predictor = load_bundle(bundle)
    options = {**predictor.task.options.model_dump(), **(task_options or {})}
    dataset = read_dataset(data, task=read_manifest(bundle).task, task_options=options)
    rows = dataset.test or dataset.train
    if not rows:
        raise DataError(
            f"{data.train} 里没有可以评测的行",
            f"{data.train} holds no row to evaluate on",
            todo_zh="检查文件是不是空的，或者只有表头。",
            todo_en="Check whether the file is empty or holds a header only.",
        )
    predictor.task.check(rows)  # before the model looks at a single row
    outputs = predictor.judge(rows) if isinstance(predictor.task, TeacherForced) else None
    return block_of(predictor.task, rows, predictor.answer(rows), outputs=outputs)
