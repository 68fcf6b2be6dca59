"""From the data settings to audited, split and normalised rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from qingtiao.config import DataConfig, Settings, parse
from qingtiao.data.audit import AuditReport, audit
from qingtiao.data.clean import clean, clean_dev
from qingtiao.data.given import Columns, Given, explained
from qingtiao.data.normalise import Normaliser
from qingtiao.data.sources import available_splits, facts_of, load_split, parse_source
from qingtiao.data.split import sample, split
from qingtiao.errors import DataError
from qingtiao.task import Task, find_task
from qingtiao.types import Dataset, Place, Record, Row

_LOOKED_AT = 100  # records, to tell which columns the task took


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows ready for a task. `judges` are the dev rows that resemble no training row: they pick the best model."""

    dataset: Dataset
    judges: tuple[Row, ...]
    audit: AuditReport
    hashes: dict[str, Any]


def prepare(
    data: DataConfig, *, task: str, task_options: dict[str, Any], normaliser: Normaliser, max_length: int, seed: int
) -> Prepared:
    """Read, sample, audit, split, clean where asked, normalise.

    The audit sees the rows as given, before anything is done to them; so do `--sample` rows, which are the rows
    that are trained on.

    Raises:
        DataError, ConfigError, EnvironmentLack: as the data layer says.
    """
    kind = find_task(task)
    read, sources = read_given(data, task=task, task_options=task_options)
    given = replace(read, train=tuple(sample(read.train, data.sample, seed=seed))) if data.sample else read
    report = audit(
        given,
        max_length=max_length,
        threshold=data.near_duplicate,
        given=sources,
        renames=can_rename(kind),
    )
    dataset = settled(given, data, kind=kind, normaliser=normaliser, seed=seed)
    return Prepared(
        dataset=dataset,
        judges=clean_dev(dataset, threshold=data.near_duplicate) or dataset.dev,
        audit=report,
        hashes={name: {"rows": len(rows), "sha256": rows_hash(rows)} for name, rows in dataset.splits().items()},
    )


def settled(given: Dataset, data: DataConfig, *, kind: type[Task], normaliser: Normaliser, seed: int) -> Dataset:
    """The rows that are trained and judged on: split, cleaned where asked, normalised.

    Raises:
        DataError: there are none, or they cannot be split.
    """
    _refuse_empty(data, given)
    with naming_sample(data):
        dataset = _with_all_splits(given, data, seed=seed)
    if data.clean:
        dataset, _ = clean(dataset, threshold=data.near_duplicate)
    return Dataset(
        **{name: tuple(kind.normalised(row, normaliser) for row in rows) for name, rows in dataset.splits().items()}
    )


@contextmanager
def naming_sample(data: DataConfig) -> Iterator[None]:
    """What is said of too few rows also says that a sample was asked for.

    Raises:
        DataError: the one that came up, with more to do.
    """
    try:
        yield
    except DataError as error:
        if data.sample is None:
            raise
        raise error.advising(
            todo_zh=f"这次只抽了一部分行（--sample {data.sample}）：先调大它，或者去掉它。还不行的话，{error.todo_zh}",
            todo_en=f"This is a sample (--sample {data.sample}): raise it or leave it out. "
            f"If that does not help: {error.todo_en}",
        ) from None


def fitted(dataset: Dataset, *, task: str, task_options: dict[str, Any]) -> Task:
    """The task as far as it learns from the rows without a model.

    Raises:
        DataError: the training rows cannot be learnt from, or the others bear a target that cannot be judged.
    """
    kind = find_task(task)
    made = kind.fit(dataset.train, parse(kind.Options, task_options))
    made.check([*dataset.dev, *dataset.test])
    return made


def can_rename(kind: type[Task]) -> bool:
    """Whether the options of the task can give labels other names."""
    return "label_names" in kind.Options.model_fields


def read_dataset(data: DataConfig, *, task: str, task_options: dict[str, Any]) -> Dataset:
    """The rows as given. A source that knows its own dev and test splits brings them unless files are named."""
    return read_given(data, task=task, task_options=task_options)[0]


def read_given(data: DataConfig, *, task: str, task_options: dict[str, Any]) -> tuple[Dataset, dict[str, Given]]:
    """The same, and what each split was read from."""
    kind = find_task(task)
    options = parse(kind.Options, task_options)
    own = available_splits(data.train)
    named = {"train": data.train, "dev": data.dev, "test": data.test}
    sources = {name: source or data.train for name, source in named.items() if source or name in own}
    read = {name: _read(data, source, name, kind=kind, options=options) for name, source in sources.items()}
    return Dataset(**{name: rows for name, (rows, _) in read.items()}), {name: one for name, (_, one) in read.items()}


def _read(
    data: DataConfig, source: str, name: str, *, kind: type[Task], options: Settings
) -> tuple[tuple[Row, ...], Given]:
    # A source that holds several splits is asked for the right one; a file holds just what it holds.
    wanted = name if name in available_splits(source) else "train"
    kind_of_source, sampled = parse_source(source)
    if kind_of_source == "samples":
        records = sample_records(sampled)
    else:
        records = load_split(source, split=wanted, encoding=data.encoding)
    with explained(source):
        head = list(islice(records, _LOOKED_AT))
        rows = kind.parse(chain(head, records), options=options, columns=data.named_columns(), labelled=True)
    return tuple(rows), Given(source, facts_of(source, encoding=data.encoding), Columns.of(head, rows))


def sample_records(task: str) -> Iterator[Record]:
    """The built-in rows of a task as records.

    Raises:
        ConfigError: there is no such task.
    """
    for number, fields in enumerate(find_task(task).samples, start=1):
        yield Record(fields, Place(f"samples:{task}", number))


def _refuse_empty(data: DataConfig, dataset: Dataset) -> None:
    if not dataset.train:
        raise DataError(
            f"{data.train} 里没有一行可以训练",
            f"{data.train} holds no row to train on",
            todo_zh="检查文件是不是空的，或者只有表头。",
            todo_en="Check whether the file is empty or holds a header only.",
        )


def _with_all_splits(given: Dataset, data: DataConfig, *, seed: int) -> Dataset:
    """Whichever of dev and test was not given is split off the training rows, near-duplicates kept together."""
    missing = {name for name in ("dev", "test") if name not in given.splits()}
    if not missing:
        return given
    made = split(
        given.train,
        dev_share=data.dev_share if "dev" in missing else 0.0,
        test_share=data.test_share if "test" in missing else 0.0,
        seed=seed,
        threshold=data.near_duplicate,
    )
    return Dataset(train=made.train, dev=made.dev or given.dev, test=made.test or given.test)


def rows_hash(rows: Sequence[Row]) -> str:
    """SHA-256 over texts, targets and what else a task keeps of a row, in order."""
    digest = hashlib.sha256()
    for row in rows:
        kept = [row.text, row.target, *([row.parts] if row.parts else []), *([row.alike] if row.alike else [])]
        digest.update(json.dumps(kept, ensure_ascii=False, default=str).encode("utf-8", "replace"))
        digest.update(b"\n")
    return digest.hexdigest()
