"""Records of csv and tsv files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from qingtiao.data.lines import MOST_CHARACTERS, decoded, numbered_lines
from qingtiao.data.opening import SourceFile
from qingtiao.errors import DataError
from qingtiao.types import Place, Record

_PEEKED_LINES = 1000


class _Dialect(NamedTuple):
    delimiter: str
    quoted: bool


def read_table(source: SourceFile, *, encoding: str | None) -> Iterator[Record]:
    """The rows below the header; blank rows are passed over but counted.

    Raises:
        DataError: no row at all, a header with a name twice, a row with too many or too few cells, a quote that is
            never closed.
    """
    dialect = _dialect(source, encoding=encoding)
    with decoded(source, encoding=encoding) as stream:
        rows = _rows(stream, source, dialect)
        header = _header(source, next(rows, (1, []))[1])
        empty = True
        for number, cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise _ragged(source, number, cells, header)
            empty = False
            yield Record(dict(zip(header, cells, strict=True)), Place(str(source.path), number))
    if empty:
        raise no_rows(source)


def no_rows(source: SourceFile) -> DataError:
    return DataError(
        f"{source.path} 只有表头，没有数据行",
        f"{source.path} has a header but no rows",
        todo_zh="检查导出是否成功；表头下面要有至少一行。",
        todo_en="Check that the export worked; there must be a row below the header.",
    )


def check_names(source: SourceFile, names: list[str]) -> list[str]:
    """Column names, stripped; a column without a name is called `column_<n>`.

    Raises:
        DataError: a name stands twice.
    """
    names = [name.strip().removeprefix("\ufeff") or f"column_{n}" for n, name in enumerate(names, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{source.path}:1 表头里有重名的列：{'、'.join(twice)}",
            f"{source.path}:1 names a column twice: {', '.join(twice)}",
            todo_zh="给每一列一个不同的名字。",
            todo_en="Give every column a name of its own.",
        )
    return names


def _header(source: SourceFile, names: list[str]) -> list[str]:
    if not any(name.strip() for name in names):
        raise DataError(
            f"{source.path}:1 没有表头",
            f"{source.path}:1 holds no header",
            todo_zh="第一行写列名，例如 text,label。",
            todo_en="Put the column names in the first row, such as text,label.",
        )
    return check_names(source, names)


def _rows(stream: io.TextIOWrapper, source: SourceFile, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    if not dialect.quoted:
        for number, line in numbered_lines(stream, source):
            yield number, line.rstrip("\r\n").split(dialect.delimiter)
        return
    feed = _Feed(stream, source)
    # The limit is the process's own; it is raised, never lowered, so nobody else's reading breaks.
    csv.field_size_limit(max(csv.field_size_limit(), MOST_CHARACTERS + 1))
    reader = csv.reader(feed, delimiter=dialect.delimiter, strict=True)
    while True:
        feed.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise feed.broken(str(error)) from None
        yield feed.row, cells


class _Feed:
    """The lines for `csv.reader`, counting how many one row has taken: a quote left open would take them all."""

    def __init__(self, stream: io.TextIOWrapper, source: SourceFile) -> None:
        self._lines = numbered_lines(stream, source)
        self._source = source
        self._taken = 0
        self._line = 0
        self._first_line = 1
        self.row = 0

    def begin_row(self) -> None:
        self._taken = 0
        self.row += 1
        self._first_line = self._line + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._line, line = next(self._lines)
        self._taken += len(line)
        if self._taken > MOST_CHARACTERS and self._line > self._first_line:
            raise self.broken(f"{self._taken:,} characters in one row")
        return line

    def broken(self, why: str) -> DataError:
        if "delimiter expected" in why or "expected after" in why:
            zh, en = "引号后面还有字", "text stands after a closing quote"
        elif "unexpected end" in why or "in one row" in why:
            zh, en = "引号没有闭合，吞掉了后面的行", "a quote is never closed and swallows the rows after it"
        else:
            zh, en = f"读不成表格（{why}）", f"not readable as a table ({why})"
        place = f"{self._source.path}:{self.row}"
        return DataError(
            f"{place} {zh}（在文件的第 {self._first_line} 行开始）",
            f"{place}: {en} (the row begins on line {self._first_line} of the file)",
            todo_zh='看看这一行的引号：单元格里的引号要写成两个 ""，整格再用一对引号包住。',
            todo_en='Look at the quotes of this row: one inside a cell is written "", and the cell is quoted whole.',
        )


def _dialect(source: SourceFile, *, encoding: str | None) -> _Dialect:
    with decoded(source, encoding=encoding) as stream:
        peeked = [line for _, line in islice(numbered_lines(stream, source), _PEEKED_LINES)]
    header = peeked[0] if peeked else ""
    if source.kind == "tsv":
        return _Dialect("\t", _is_quoted(peeked))
    for delimiter in "\t;":  # what Excel writes in some countries, and what people call csv
        if "," not in header and delimiter in header:
            return _Dialect(delimiter, delimiter == ";" or _is_quoted(peeked))
    return _Dialect(",", quoted=True)


def _is_quoted(lines: list[str]) -> bool:
    # Most tsv files know no quoting, and then a lone quote is just a character. It is a quoted one only when a quoted
    # header or a doubled quote shows that a csv writer was at work, and every row comes out as wide as the header.
    if not lines or not (lines[0].startswith('"') or any('""' in line for line in lines)):
        return False
    complete = lines[:-1] if len(lines) == _PEEKED_LINES else lines
    try:
        widths = {len(row) for row in csv.reader(complete, delimiter="\t", strict=True) if row}
    except csv.Error:
        return False
    split = [line.count("\t") + 1 for line in complete if line.strip()]
    return len(widths) == 1 and (lines[0].startswith('"') or set(split) != widths or _doubles_only_inside(complete))


def _doubles_only_inside(lines: list[str]) -> bool:
    cells = [cell for line in lines for cell in line.rstrip("\r\n").split("\t") if '"' in cell]
    return all(len(cell) > 1 and cell.startswith('"') and cell.endswith('"') for cell in cells)


def _ragged(source: SourceFile, number: int, cells: list[str], header: list[str]) -> DataError:
    few = len(cells) < len(header)
    return DataError(
        f"{source.path}:{number} 有 {len(cells)} 格，表头有 {len(header)} 列（{'、'.join(header)}）",
        f"{source.path}:{number} has {len(cells)} cells; the header has {len(header)} ({', '.join(header)})",
        todo_zh="补上缺的格子。" if few else "文本里有分隔符的话，整格用英文双引号包住。",
        todo_en="Fill in the missing cells." if few else "Quote the cell if its text contains the delimiter.",
    )
