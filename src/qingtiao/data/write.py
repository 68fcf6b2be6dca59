"""Records into a file of any supported format: streamed, and whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast

from qingtiao.data.opening import format_of
from qingtiao.data.parquet import write_parquet
from qingtiao.data.spill import Fields, Spill, spilled
from qingtiao.data.strict import strict_text
from qingtiao.files import atomic_file

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_CELL = 32_767
"""Excel's own limit on the characters of a cell."""
_MOST_DIGITS = 10**15
"""From here on Excel rounds a number, as the long ones that are names of orders and users."""


def write_records(path: str | Path, records: Iterable[Fields], *, neutralise: bool) -> int:
    """Write `records` into `path`, in the format of its suffix. A table has every column that some record has.

    That is known at the last record only: for csv, tsv, xlsx and parquet they are put aside on the same disk until
    then. A column of parquet has one type: that of its values where they are of one kind, float64 for integers and
    floats that it holds exactly, text for anything else. Numbers that are not finite are null in json and jsonl.

    With `neutralise`, cells of csv, tsv and xlsx that a spreadsheet program would run as a formula (they begin with
    one of `= + - @`, tab or carriage return) get a leading `'`. A csv starts with a byte order mark: Excel needs it.

    Returns:
        The number of records.

    Raises:
        DataError: the suffix names no known format.
        EnvironmentLack: the disk is full.
        RunError: the folder cannot be written to.
    """
    path = Path(path)
    kind = format_of(path)
    counted = _Counted(records)
    with atomic_file(path) as raw, _packed(path, raw) as file:
        match kind:
            case "csv" | "tsv":
                with spilled(counted, path.parent) as spill:
                    _write_table(file, spill, delimiter="," if kind == "csv" else "\t", neutralise=neutralise)
            case "jsonl":
                for fields in counted:
                    file.write(_json(fields) + b"\n")
            case "json":
                _write_json(file, counted)
            case "parquet":
                write_parquet(file, counted, folder=path.parent)
            case "xlsx":
                with spilled(counted, path.parent) as spill:
                    _write_xlsx(file, spill, neutralise=neutralise)
    return counted.count


class _Counted:
    def __init__(self, records: Iterable[Fields]) -> None:
        self._records = iter(records)
        self.count = 0

    def __iter__(self) -> Iterator[Fields]:
        for fields in self._records:
            self.count += 1
            yield fields


@contextmanager
def _packed(path: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    if path.suffix.lower() != ".gz":
        yield raw
        return
    # Neither name nor time go into the header: the same records give the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        yield cast(BinaryIO, packed)


def _write_table(file: BinaryIO, records: Spill, *, delimiter: str, neutralise: bool) -> None:
    encoding = "utf-8-sig" if delimiter == "," else "utf-8"
    stream = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="", write_through=False)
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\r\n")  # both: or a lone \r goes unquoted
    for row in _table(records, neutralise=neutralise):
        writer.writerow(row)
    stream.detach()


def _write_xlsx(file: BinaryIO, records: Spill, *, neutralise: bool) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    try:
        _fill(sheet, _table(records, neutralise=neutralise))
    except BaseException:
        sheet.close()  # or its half-written stream complains when it is collected
        raise
    with tempfile.TemporaryFile() as whole:  # a zip is finished by seeking back, which gzip cannot
        book.save(whole)
        whole.seek(0)
        shutil.copyfileobj(whole, file)


def _fill(sheet: Any, rows: Iterable[list[Any]]) -> None:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    for row in rows:
        cells = []
        for value in row:
            cell = WriteOnlyCell(sheet)
            if isinstance(value, str):
                text = ILLEGAL_CHARACTERS_RE.sub("", value).encode("utf-8", "replace").decode("utf-8")
                cell.value = text[:_MOST_CELL]
                cell.data_type = "s"  # text, even where it begins with =
            else:
                cell.value = _sheet_value(value)
            cells.append(cell)
        sheet.append(cells)


def _sheet_value(value: Any) -> Any:
    """`value` as a workbook can hold it; as text where it would be changed."""
    if isinstance(value, int):
        return value if abs(value) < _MOST_DIGITS else str(value)
    if isinstance(value, float | Decimal):
        return value if math.isfinite(value) else str(value)
    known = isinstance(value, date | time | timedelta) and getattr(value, "tzinfo", None) is None
    return value if known else str(value)


def _table(records: Spill, *, neutralise: bool) -> Iterator[list[Any]]:
    if records.names:
        yield [_safe(name) if neutralise else name for name in records.names]
    for fields in records:
        cells = [_cell(fields.get(name)) for name in records.names]
        yield [_safe(cell) if neutralise else cell for cell in cells]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return strict_text(value) if isinstance(value, list | dict | tuple) else value


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _json(fields: Fields) -> bytes:
    try:
        return strict_text(dict(fields)).encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate: only its escape can be written
        return strict_text(dict(fields), ascii_only=True).encode("ascii")


def _write_json(file: BinaryIO, records: Iterable[Fields]) -> None:
    separator = b"[\n"
    for fields in records:
        file.write(separator + _json(fields))
        separator = b",\n"
    file.write(b"\n]\n" if separator == b",\n" else b"[]\n")
