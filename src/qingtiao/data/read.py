"""Records from a file of any supported format, streamed; json and xlsx are the two that are loaded whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from qingtiao.data.encoding import detect_encoding
from qingtiao.data.objects import read_json, read_jsonl, read_parquet
from qingtiao.data.opening import SourceFile, faults_as_ours
from qingtiao.data.sheets import read_xlsx, sheets_of
from qingtiao.data.tables import read_table
from qingtiao.errors import QingtiaoError
from qingtiao.types import Record

_MOST_PACKED_TO_COUNT = 200 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """How a file is read, as far as it has such a thing: its encoding, its sheet, and the sheets that are not read."""

    encoding: str | None = None
    sheet: str | None = None
    unread_sheets: tuple[str, ...] = ()


def read_records(path: str | Path, *, encoding: str | None = None, sheet: str | None = None) -> Iterator[Record]:
    """The rows of a csv, tsv, jsonl, json, parquet or xlsx file, or of one of these with `.gz` behind.

    Of a workbook the `sheet` of that name is read, or the first that holds anything.

    `Place.row` is what a person sees: the spreadsheet row of a table (the header is row 1), the line of a jsonl, the
    position in a json list or a parquet file.

    Raises:
        DataError: the file is missing, unreadable, damaged, empty, wrongly encoded, or a row cannot be read.
    """
    source = SourceFile.find(Path(path))
    with faults_as_ours(source.path):
        yield from _records(source, encoding, sheet)


def _records(source: SourceFile, encoding: str | None, sheet: str | None) -> Iterator[Record]:
    match source.kind:
        case "csv" | "tsv":
            return read_table(source, encoding=encoding)
        case "jsonl":
            return read_jsonl(source, encoding=encoding)
        case "json":
            return read_json(source, encoding=encoding)
        case "parquet":
            return read_parquet(source)
        case "xlsx":
            return read_xlsx(source, sheet=sheet)


def file_facts(path: str | Path, *, encoding: str | None = None, sheet: str | None = None) -> FileFacts:
    """How `read_records` reads that file.

    Raises:
        DataError: it cannot be read.
    """
    source = SourceFile.find(Path(path))
    with faults_as_ours(source.path):
        if source.kind == "xlsx":
            return FileFacts(None, *sheets_of(source, sheet=sheet))
        return FileFacts() if source.kind == "parquet" else FileFacts(encoding or detect_encoding(source))


def column_names(path: str | Path, *, encoding: str | None = None, sheet: str | None = None) -> tuple[str, ...]:
    """Every column that a row of the file has, the earliest first. json and jsonl are read whole: their rows differ.

    Raises:
        DataError: see `read_records`.
    """
    records = read_records(path, encoding=encoding, sheet=sheet)
    if SourceFile.find(Path(path)).kind not in ("json", "jsonl"):
        records = islice(records, 1)
    return tuple(dict.fromkeys(name for record in records for name in record.fields))


def count_records(path: str | Path) -> int | None:
    """About how many rows, for a progress bar; None when that would take long or cannot be told."""
    try:
        source = SourceFile.find(Path(path))
        with faults_as_ours(source.path):
            return _count(source)
    except QingtiaoError:
        return None


def _count(source: SourceFile) -> int | None:
    if source.kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with source.open_seekable() as file:
            try:
                return int(pq.ParquetFile(file).metadata.num_rows)
            except pa.ArrowException:
                return None
    packed = source.path.suffix.lower() == ".gz"
    if source.kind in ("json", "xlsx") or (packed and source.path.stat().st_size > _MOST_PACKED_TO_COUNT):
        return None
    with source.open() as file:
        lines = _lines(file)
    return lines if source.kind == "jsonl" else max(0, lines - 1)


def _lines(file: BinaryIO) -> int:
    count, last = 0, b"\n"
    while chunk := file.read(1 << 20):
        count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")
