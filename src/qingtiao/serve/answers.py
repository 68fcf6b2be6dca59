"""What the page says, without the page: one text or one file in, something to show out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from qingtiao.data.read import count_records, read_records
from qingtiao.predict import Predictor
from qingtiao.serve.fields import form_fields, only_uploaded_rows
from qingtiao.task import Task
from qingtiao.types import Record
from qingtiao.workflows.predict import predict_file

PREVIEW_ROWS = 8
_LONGEST_CELL = 80
_LONGEST_STEM = 60  # characters; in UTF-8 a name may have 255 bytes
_MOST_LABELS = 20
_MOST_EXAMPLES = 12
_EMOJI = {"正面": "👍", "负面": "👎", "positive": "👍", "negative": "👎"}

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """The finished file and what the page shows of it. `counts` is rows by label, most frequent first."""

    path: Path
    rows: int
    counts: tuple[tuple[str, int], ...]
    header: tuple[str, ...]
    preview: tuple[tuple[str, ...], ...]


def decorated(label: str) -> str:
    """The label with its emoji, where everybody would agree on one."""
    return label + _EMOJI.get(label.strip().lower(), "")


def shown_probabilities(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {decorated(label): probability for label, probability in probabilities.items()}


def sample_inputs(task: type[Task] | Task, *, each: int = 3) -> list[list[Any]]:
    """Built-in inputs to click on: `each` of every label, labels taking turns; the first few where there are none.

    Where there are many labels there are fewer of each: a page is to be seen whole.
    """
    fields = form_fields(task)
    by_label: dict[str, list[list[Any]]] = {}
    for sample in task.samples:
        values = [sample.get(field.name, field.default) for field in fields]
        shown = [v if isinstance(v, str | None) else json.dumps(v, ensure_ascii=False) for v in values]
        by_label.setdefault(str(sample.get("label", "")), []).append(shown)
    if len(by_label) < 2 or len(by_label) > _MOST_LABELS:
        return list(chain.from_iterable(by_label.values()))[: 2 * each]
    each = max(1, min(each, _MOST_EXAMPLES // len(by_label)))
    turns = zip(*(inputs[:each] for inputs in by_label.values()), strict=False)
    return list(chain.from_iterable(turns))


def answer_file(
    predictor: Predictor, source: Path, folder: Path, *, text_column: str | None, on_progress: Progress
) -> FileAnswer:
    """Answer every row of `source` into a file of the same format inside `folder`.

    Args:
        on_progress: called with the rows answered so far and the rows in all, None where nobody knows.

    Raises:
        DataError: the file cannot be read, or there is no such column.
        UserError: it names images instead of holding them.
        EnvironmentLack: the disk is full.
    """
    total, done = count_records(source), 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(done, total)

    target = folder / result_name(source.name)
    rows = predict_file(
        predictor,
        source,
        target,
        columns={"text": text_column} if text_column else {},
        check=lambda rows: only_uploaded_rows(predictor.task, rows),
        on_progress=advance,
    )
    return _summary(target, rows)


def result_name(upload: str) -> str:
    """A harmless file name that still tells which upload it answers: `评论.csv` becomes `评论-qingtiao.csv`."""
    name = Path(upload.replace("\\", "/")).name
    bare = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    suffix = Path(bare).suffix + name[len(bare) :]
    stem = re.sub(r"[^\w-]+", "_", Path(bare).stem).strip("_")[:_LONGEST_STEM]
    return f"{stem or 'answers'}-qingtiao{re.sub(r'[^a-z.]', '', suffix.lower())}"


def _summary(path: Path, rows: int) -> FileAnswer:
    records = read_records(path)
    first = list(islice(records, PREVIEW_ROWS))
    # The groups of `Answer.group`, which a file keeps under the name of their kind.
    column = next((name for name in ("label", "labels") if first and name in first[0].fields), None)
    counts = Counter(str(record.fields[column]) for record in chain(first, records)) if column else Counter[str]()
    header = tuple(first[0].fields) if first else ()
    return FileAnswer(path, rows, tuple(counts.most_common()), header, _cells(first, header))


def _cells(records: Sequence[Record], header: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_cell(record.fields.get(name)) for name in header) for record in records)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(_rounded(value), ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
