"""`predict`: a file in, a file out, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from qingtiao.data.columns import find_text_column, text_of
from qingtiao.data.read import read_records
from qingtiao.data.write import write_records
from qingtiao.errors import DataError
from qingtiao.predict import Predictor
from qingtiao.types import Prediction, Record

_CHUNK = 1024


def predict_file(
    predictor: Predictor,
    source: Path,
    target: Path,
    *,
    text_column: str | None = None,
    encoding: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Answer every row of `source` into `target`, in order; the formats are told by the suffixes.

    Each row keeps the columns of the first one (all of its own in json and jsonl) and gains `label`,
    `probabilities` and `notice`; in tables (csv, tsv, xlsx) `probabilities` becomes one column a label. A column
    of the input that bears one of these names is kept as `input_<name>`. `target` appears only when every row was
    answered.

    Returns:
        The number of rows.

    Raises:
        DataError: a row cannot be read, with its place.
        EnvironmentLack: the disk is full.
    """
    if source.resolve() == target.resolve():
        raise DataError(
            f"输入和输出是同一个文件：{source}",
            f"Input and output are the same file: {source}",
            todo_zh="给 --output 换一个名字。",
            todo_en="Give --output another name.",
        )
    flat = not any(target.name.lower().removesuffix(".gz").endswith(s) for s in (".json", ".jsonl", ".parquet"))
    records = read_records(source, encoding=encoding)
    answers = _answers(predictor, records, text_column=text_column, flat=flat, on_progress=on_progress)
    return write_records(target, answers, neutralise=True)


def _answers(
    predictor: Predictor,
    records: Iterator[Record],
    *,
    text_column: str | None,
    flat: bool,
    on_progress: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    column: str | None = None
    while chunk := list(islice(records, _CHUNK)):
        if column is None:
            column = find_text_column(list(chunk[0].fields), wanted=text_column, source=chunk[0].place.source)
        predictions = predictor.predict([text_of(record, column) for record in chunk])
        for record, prediction in zip(chunk, predictions, strict=True):
            yield _row(record, prediction, flat=flat)
        if on_progress is not None:
            on_progress(len(chunk))


def _row(record: Record, prediction: Prediction, *, flat: bool) -> dict[str, Any]:
    probabilities: dict[str, Any] = dict(prediction.probabilities)
    answer: dict[str, Any] = {"label": prediction.label}
    if flat:
        answer.update({f"probability_{label}": round(p, 6) for label, p in probabilities.items()})
    else:
        answer["probabilities"] = probabilities
    answer["notice"] = prediction.notice or ""
    kept = {f"input_{name}" if name in answer else name: value for name, value in record.fields.items()}
    return {**kept, **answer}
