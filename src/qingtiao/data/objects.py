"""Records of json, jsonl and parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qingtiao.data.lines import decoded, numbered_lines
from qingtiao.data.opening import SourceFile, damaged_by
from qingtiao.data.tables import check_names, no_rows
from qingtiao.errors import DataError
from qingtiao.types import Place, Record


def read_jsonl(source: SourceFile, *, encoding: str | None) -> Iterator[Record]:
    """One object a line; blank lines are passed over but counted.

    Raises:
        DataError: a line that is not a JSON object, or no line at all.
    """
    empty = True
    with decoded(source, encoding=encoding) as stream:
        for number, line in numbered_lines(stream, source):
            if line.strip():
                empty = False
                place = Place(str(source.path), number)
                yield Record(_object(_parse(line, place), place), place)
    if empty:
        raise no_rows(source)


def read_json(source: SourceFile, *, encoding: str | None) -> Iterator[Record]:
    """A list of objects, loaded whole. The row is the position in the list.

    Raises:
        DataError: not JSON, not a list of objects, or an empty list.
    """
    with decoded(source, encoding=encoding) as stream:
        values = _parse(stream.read(), Place(str(source.path), 1))
    if not isinstance(values, list):
        raise _not_rows(str(source.path), values, "一个列表，每项是一行", "a list with an object for every row")
    if not values:
        raise no_rows(source)
    for number, value in enumerate(values, 1):
        place = Place(str(source.path), number)
        yield Record(_object(value, place), place)


def read_parquet(source: SourceFile) -> Iterator[Record]:
    """Streamed by batches of rows, whatever the size of its row groups.

    Raises:
        DataError: it is damaged or has no rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    with source.open_seekable() as file:
        try:
            table = pq.ParquetFile(file)
            check_names(source, table.schema_arrow.names)
            for batch in table.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield Record(fields, Place(str(source.path), number))
        except (pa.ArrowException, OSError) as error:
            raise damaged_by(source.path, error) from None
    if not number:
        raise no_rows(source)


def _parse(text: str, place: Place) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise _not_json(place, error, by_line=_is_object_a_line(text)) from None


def _not_json(place: Place, error: Exception, *, by_line: bool) -> DataError:
    if by_line:
        return DataError(
            f"{place.source} 不是一个 JSON，而是每行一个（{error}）",
            f"{place.source} is not one JSON value but one a line ({error})",
            todo_zh="这是 jsonl：把后缀改成 .jsonl 再试。",
            todo_en="This is jsonl: rename it to end in .jsonl.",
        )
    return DataError(
        f"{place} 不是 JSON：{error}",
        f"{place} is not JSON: {error}",
        todo_zh="改正这一处；jsonl 文件每行是一个完整的对象。",
        todo_en="Correct it; every line of a jsonl file is one whole object.",
    )


def _is_object_a_line(text: str) -> bool:
    first, _, rest = text.removeprefix("\ufeff").strip().partition("\n")
    try:
        return bool(rest) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _object(value: Any, place: Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _not_rows(str(place), value, "一个对象", "an object")
    return value


def _not_rows(where: str, value: Any, zh: str, en: str) -> DataError:
    return DataError(
        f"{where} 应当是{zh}，现在是 {type(value).__name__}",
        f"{where} must be {en}; it is a {type(value).__name__}",
        todo_zh='一行写成 {"text": "真好吃", "label": "正面"}；整个列表用 .json，每行一个用 .jsonl。',
        todo_en='Write a row as {"text": "...", "label": "..."}; a whole list is .json, one a line is .jsonl.',
    )
