"""`predict`: a file in, a file out, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from qingtiao.answers import Answer
from qingtiao.data.read import column_names, read_records
from qingtiao.data.sources import path_and_sheet
from qingtiao.data.write import write_records
from qingtiao.errors import DataError
from qingtiao.predict import Predictor
from qingtiao.types import Record, Row

_CHUNK = 1024


def predict_file(
    predictor: Predictor,
    source: Path,
    target: Path,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    check: Callable[[Sequence[Row]], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Answer every row of `source` into `target`, in order; the formats are told by the suffixes.

    Each row keeps its columns and gains those of the answer, `notice` among them; in tables (csv, tsv, xlsx) each of
    these holds one value, so that `probabilities` becomes one column a label. A column of the input that bears one of
    these names is kept as `input_<name>`, or `input_<name>_2` and on where that is a column too. `target` appears only
    when every row was answered.

    Args:
        source: a file; of a workbook `a.xlsx#二月` names a sheet.
        columns: role (`text` …) to column, for those that are not to be found by name.
        check: sees the rows before they are answered, and may refuse them.

    Returns:
        The number of rows.

    Raises:
        DataError: a row cannot be read, with its place.
        EnvironmentLack: the disk is full.
    """
    name, sheet = path_and_sheet(str(source))
    if Path(name).resolve() == target.resolve():
        raise DataError(
            f"输入和输出是同一个文件：{source}",
            f"Input and output are the same file: {source}",
            todo_zh="给 --output 换一个名字。",
            todo_en="Give --output another name.",
        )
    flat = not any(target.name.lower().removesuffix(".gz").endswith(s) for s in (".json", ".jsonl", ".parquet"))
    names = column_names(name, encoding=encoding, sheet=sheet)
    records = read_records(name, encoding=encoding, sheet=sheet)
    answers = _answers(predictor, records, columns=columns or {}, check=check, on_progress=on_progress)
    return write_records(target, _rows(answers, names, flat=flat), neutralise=True)


def _answers(
    predictor: Predictor,
    records: Iterator[Record],
    *,
    columns: Mapping[str, str],
    check: Callable[[Sequence[Row]], None] | None,
    on_progress: Callable[[int], None] | None,
) -> Iterator[tuple[Record, Answer]]:
    task = predictor.task
    while chunk := list(islice(records, _CHUNK)):
        rows = task.parse(chunk, options=task.options, columns=columns, labelled=False)
        if check is not None:
            check(rows)
        yield from zip(chunk, predictor.answer(rows), strict=True)
        if on_progress is not None:
            on_progress(len(chunk))


def _rows(answers: Iterator[tuple[Record, Answer]], names: Sequence[str], *, flat: bool) -> Iterator[dict[str, Any]]:
    kept: dict[str, str] = {}
    for record, answer in answers:
        told = answer.as_cells() if flat else {**answer.as_json(), "notice": answer.notice or ""}
        kept = kept or _kept_as(names, told)  # the answers of a task all have the same columns
        yield {**{kept[name]: value for name, value in record.fields.items()}, **told}


def _kept_as(names: Sequence[str], told: Collection[str]) -> dict[str, str]:
    """What each column of the input is called in the output, so that no two columns there share a name."""
    kept = {name: name for name in names if name not in told}
    for name in names:
        if name in told:
            taken = {*kept.values(), *told}
            renamed = (f"input_{name}" + (f"_{n}" if n > 1 else "") for n in count(1))
            kept[name] = next(new for new in renamed if new not in taken)
    return kept
