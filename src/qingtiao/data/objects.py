"""Records of json, jsonl, parquet and xlsx files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from qingtiao.data.lines import decoded, numbered_lines
from qingtiao.data.opening import SourceFile, damaged
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
            raise damaged(source.path, *_both(error)) from None
    if not number:
        raise no_rows(source)


def read_xlsx(source: SourceFile) -> Iterator[Record]:
    """The first sheet that holds anything, its cells as text. Formulas give the value Excel last computed.

    Raises:
        DataError: it is damaged, has no rows, or a column name stands twice.
    """
    with source.open_seekable() as file:
        rows = _sheet_rows(source, file)
        number, cells = next(rows, (1, []))
        header = check_names(source, _without_empty_tail(cells))
        empty = True
        for number, cells in rows:
            if any(cells):
                empty = False
                if len(_without_empty_tail(cells)) > len(header):
                    raise _beyond_header(source, number, header)
                padded = cells + [""] * len(header)
                yield Record(dict(zip(header, padded, strict=False)), Place(str(source.path), number))
    if empty:
        raise no_rows(source)


def _sheet_rows(source: SourceFile, file: Any) -> Iterator[tuple[int, list[str]]]:
    import zipfile
    from xml.etree.ElementTree import ParseError

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about styles and extensions, which hold no text
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # the size some programs write down is wrong, and would cut rows off
                seen = False
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                    cells = [_text(cell) for cell in row]
                    seen = seen or any(cells)
                    if seen:
                        yield number, cells
                if seen:
                    return
    except (zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, OSError) as error:
        raise damaged(source.path, *_both(error)) from None


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, datetime | date | time) else str(cell)


def _without_empty_tail(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _beyond_header(source: SourceFile, number: int, header: list[str]) -> DataError:
    return DataError(
        f"{source.path}:{number} 的格子比表头多（表头：{'、'.join(header)}）",
        f"{source.path}:{number} has more cells than the header ({', '.join(header)})",
        todo_zh="给多出来的列写上列名，或者删掉。",
        todo_en="Name the extra column in the header, or remove it.",
    )


def _parse(text: str, place: Place) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{place} 不是 JSON：{error}",
            f"{place} is not JSON: {error}",
            todo_zh="改正这一处；jsonl 文件每行是一个完整的对象。",
            todo_en="Correct it; every line of a jsonl file is one whole object.",
        ) from None


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


def _both(error: Exception) -> tuple[str, str]:
    text = f"{error}".strip() or type(error).__name__
    return text, text
