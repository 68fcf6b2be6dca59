"""`audit`: what is wrong with the data, and cleaned files on request."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qingtiao.config import BaseConfig, DataConfig, NormaliseConfig, TrainConfig
from qingtiao.data.audit import AuditReport
from qingtiao.data.audit import audit as audit_rows
from qingtiao.data.clean import clean
from qingtiao.data.normalise import Normaliser
from qingtiao.data.write import write_records
from qingtiao.errors import DataError
from qingtiao.task import find_task
from qingtiao.types import Dataset, Row
from qingtiao.workflows.material import can_rename, fitted, read_dataset, read_given, settled


@dataclass(frozen=True, slots=True)
class Fixed:
    """What `fix` wrote: the cleaned files by split, and the log of every row that was touched."""

    folder: str
    files: dict[str, str]
    log: str
    touched: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def audit(data: DataConfig, *, task: str = "text_classification") -> AuditReport:
    """Audit the rows as they stand in the files, and try what `train` does with them before it loads a base.

    Raises:
        DataError: a file cannot be read.
    """
    dataset, given = read_given(data, task=task, task_options={})
    return audit_rows(
        dataset,
        max_length=BaseConfig().max_length,
        threshold=data.near_duplicate,
        given=given,
        renames=can_rename(find_task(task)),
        refused=_refusal(data, dataset, task=task),
    )


def _refusal(data: DataConfig, dataset: Dataset, *, task: str) -> DataError | None:
    """Why `train` could not use these rows; None when it could."""
    try:
        rows = settled(
            dataset, data, kind=find_task(task), normaliser=Normaliser(NormaliseConfig()), seed=TrainConfig().seed
        )
        fitted(rows, task=task, task_options={})
    except DataError as error:
        return error
    return None


def fix(data: DataConfig, folder: Path, *, task: str = "text_classification") -> Fixed:
    """Write each split, cleaned, into `folder`, beside `touched.jsonl`. The given files stay as they are.

    Raises:
        DataError: a file cannot be read.
        EnvironmentLack, RunError: the folder cannot be written.
    """
    dataset, touched = clean(read_dataset(data, task=task, task_options={}), threshold=data.near_duplicate)
    files = {}
    for name, rows in dataset.splits().items():
        path = folder / f"{name}.csv"
        write_records(path, (_columns(row) for row in rows), neutralise=False)
        files[name] = str(path)
    log = folder / "touched.jsonl"
    write_records(log, (item.as_json() for item in touched), neutralise=False)
    return Fixed(str(folder), files, str(log), len(touched))


def _columns(row: Row) -> dict[str, Any]:
    return {"text": row.text, "label": row.target}
