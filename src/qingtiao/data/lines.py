"""Text files as lines: strictly decoded, of bounded length, free of NUL."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from qingtiao.data.encoding import check_encoding, detect_encoding, find_undecodable, undecodable
from qingtiao.data.opening import SourceFile
from qingtiao.errors import DataError

MOST_CHARACTERS = 1_000_000
"""Longest cell, and longest line: beyond it the file is taken for broken rather than read into memory."""


@contextmanager
def decoded(source: SourceFile, *, encoding: str | None) -> Iterator[io.TextIOWrapper]:
    """The file as a text stream whose line ends are left as they are.

    Raises:
        DataError: the encoding is unknown or not found, or a byte cannot be decoded.
    """
    name = check_encoding(source, encoding) if encoding else detect_encoding(source)
    try:
        with source.open() as file:
            stream = io.TextIOWrapper(file, encoding=name, errors="strict", newline="")
            yield stream
    except UnicodeError:
        raise undecodable(source, name, find_undecodable(source, name)) from None


def numbered_lines(stream: io.TextIOWrapper, source: SourceFile) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1, line ends kept.

    Raises:
        DataError: a line that is too long, or holds a NUL.
    """
    number = 0
    while line := stream.readline(MOST_CHARACTERS + 1):
        number += 1
        if len(line) > MOST_CHARACTERS:
            raise _too_long(stream, source, number, len(line))
        if "\0" in line:
            raise DataError(
                f"{source.path}:{number} 里有 NUL 字符（第 {line.index(chr(0)) + 1} 个字符）",
                f"{source.path}:{number} holds a NUL character (character {line.index(chr(0)) + 1})",
                todo_zh="文件可能已损坏，或者编码是 UTF-16：用 --encoding utf-16 再试，或者重新导出。",
                todo_en="The file may be damaged, or be UTF-16: try --encoding utf-16, or export it again.",
            )
        yield number, line


def _too_long(stream: io.TextIOWrapper, source: SourceFile, number: int, length: int) -> DataError:
    while (more := stream.readline(MOST_CHARACTERS)) and not more.endswith("\n"):
        length += len(more)
    length += len(more)
    return DataError(
        f"{source.path}:{number} 这一行有 {length:,} 个字符，上限是 {MOST_CHARACTERS:,}",
        f"{source.path}:{number} is {length:,} characters long; the limit is {MOST_CHARACTERS:,}",
        todo_zh="检查这一行是不是少了换行，或者混进了别的内容；长文请先拆开。",
        todo_en="Check whether line breaks are missing or something else slipped in; split long texts first.",
    )
