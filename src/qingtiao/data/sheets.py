"""Workbooks: the rows of one sheet, and what a person should know of the rest."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Any, NamedTuple

from qingtiao.config import suggestion
from qingtiao.data.opening import SourceFile, damaged_by
from qingtiao.data.tables import check_names, no_rows
from qingtiao.errors import DataError
from qingtiao.types import Place, Record


class Sheets(NamedTuple):
    """The name of the sheet that is read, and of the others that hold anything."""

    read: str
    unread: tuple[str, ...]


def read_xlsx(source: SourceFile, *, sheet: str | None) -> Iterator[Record]:
    """The sheet of that name, else the first that holds anything, its cells as text.

    Formulas give the value Excel last computed.

    Raises:
        DataError: it is damaged, has no such sheet, has no rows, or a column name stands twice.
    """
    name = str(source.path) if sheet is None else f"{source.path}#{sheet}"
    with _opened(source) as book:
        rows = _filled_rows(_chosen(book, source, sheet))
        number, cells = next(rows, (1, []))
        header = check_names(source, _without_empty_tail(cells))
        empty = True
        for number, cells in rows:
            if any(cells):
                empty = False
                if len(_without_empty_tail(cells)) > len(header):
                    raise _beyond_header(name, number, header)
                padded = cells + [""] * len(header)
                yield Record(dict(zip(header, padded, strict=False)), Place(name, number))
    if empty:
        raise no_rows(source)


def sheets_of(source: SourceFile, *, sheet: str | None = None) -> Sheets:
    """Which sheet `read_xlsx` reads, and which it leaves.

    Raises:
        DataError: it is damaged, or has no such sheet.
    """
    with _opened(source) as book:
        chosen = _chosen(book, source, sheet)
        return Sheets(chosen.title, tuple(other.title for other in _filled(book) if other.title != chosen.title))


def merged_cells(source: SourceFile, *, sheet: str | None = None) -> list[str]:
    """Where cells of the sheet were merged, such as `B2:B9`. Loads the workbook whole: for explaining an error.

    Raises:
        DataError: it is damaged, or has no such sheet.
    """
    with _opened(source, read_only=False) as book:  # the streaming reader does not tell
        return sorted(map(str, _chosen(book, source, sheet).merged_cells.ranges))


@contextmanager
def _opened(source: SourceFile, *, read_only: bool = True) -> Iterator[Any]:
    import zipfile
    from xml.etree.ElementTree import ParseError

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with source.open_seekable() as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about styles and extensions, which hold no text
            book = openpyxl.load_workbook(file, read_only=read_only, data_only=True)
            if read_only:
                for sheet in book.worksheets:
                    sheet.reset_dimensions()  # the size some programs write down is wrong, and would cut rows off
            yield book
    except (zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, IndexError, OSError) as error:
        raise damaged_by(source.path, error) from None


def _chosen(book: Any, source: SourceFile, name: str | None) -> Any:
    if name is None:
        return next(_filled(book), book.worksheets[0])
    names = [sheet.title for sheet in book.worksheets]
    if name not in names:
        zh, en = suggestion(name, names)
        raise DataError(
            f"{source.path} 里没有表 {name}{zh}",
            f"{source.path} has no sheet {name}{en}",
            todo_zh=f"现有的表：{'、'.join(names)}",
            todo_en=f"Its sheets: {', '.join(names)}",
        )
    return book[name]


def _filled(book: Any) -> Iterator[Any]:
    return (sheet for sheet in book.worksheets if next(_filled_rows(sheet), None) is not None)


def _filled_rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows from the first that holds anything, numbered as Excel numbers them."""
    seen = False
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [_text(cell) for cell in row]
        seen = seen or any(cells)
        if seen:
            yield number, cells


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


def _beyond_header(name: str, number: int, header: list[str]) -> DataError:
    return DataError(
        f"{name}:{number} 的格子比表头多（表头：{'、'.join(header)}）",
        f"{name}:{number} has more cells than the header ({', '.join(header)})",
        todo_zh="给多出来的列写上列名，或者删掉。",
        todo_en="Name the extra column in the header, or remove it.",
    )
