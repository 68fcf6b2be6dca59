"""A data file on disk: is it there, what is it, and its bytes with any gzip taken off."""

from __future__ import annotations

import difflib
import errno
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

from qingtiao.errors import DataError, EnvironmentLack

Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx"]

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "Excel 或 zip 文件", "an Excel or zip file"),
    (b"PAR1", "parquet 文件", "a parquet file"),
    (b"\x1f\x8b", "gzip 压缩的文件", "a gzip file"),
    (b"\xd0\xcf\x11\xe0", "旧式 Excel（.xls）文件", "an old Excel (.xls) file"),
    (b"%PDF", "PDF 文件", "a PDF file"),
)
_OWN_MAGIC: dict[Format, bytes] = {"xlsx": b"PK\x03\x04", "parquet": b"PAR1"}


def format_of(path: Path) -> Format:
    """The format that the suffix names, `.gz` taken off first.

    Raises:
        DataError: the suffix is none of the known ones.
    """
    bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    kind = _SUFFIXES.get(bare.suffix.lower())
    if kind is None:
        raise DataError(
            f"不认识 {path.name} 的格式（后缀 {bare.suffix or '为空'}）",
            f"The format of {path.name} is not known (suffix {bare.suffix or 'missing'})",
            todo_zh="可用的后缀：" + "、".join(_SUFFIXES) + "，都可以再加 .gz。旧的 .xls 请另存为 .xlsx。",
            todo_en="Known suffixes: " + ", ".join(_SUFFIXES) + ", each also with .gz. Save an old .xls as .xlsx.",
        )
    return kind


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that exists, is a file, is not empty and holds what its suffix says; `find` makes it."""

    path: Path
    kind: Format

    @classmethod
    def find(cls, path: Path) -> SourceFile:
        """Check the file at `path`.

        Raises:
            DataError: missing, a folder, unreadable, empty, of unknown format, or of another format than its suffix.
        """
        with faults_as_ours(path):
            if not path.exists():
                raise _missing(path)
            if path.is_dir():
                raise _folder(path)
            source = cls(path, format_of(path))
            source.check_content()
        return source

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes, gzip taken off."""
        if self.path.suffix.lower() == ".gz":
            with gzip.open(self.path, "rb") as packed:
                yield cast(BinaryIO, packed)
        else:
            with self.path.open("rb") as plain:
                yield plain

    @contextmanager
    def open_seekable(self) -> Iterator[IO[bytes]]:
        """The same, able to seek: parquet and xlsx are read from their end."""
        with self.open() as file:
            if self.path.suffix.lower() != ".gz":
                yield file
                return
            with tempfile.TemporaryFile() as unpacked:
                shutil.copyfileobj(file, unpacked)
                unpacked.seek(0)
                yield unpacked

    def check_content(self) -> None:
        with self.open() as file:
            head = file.read(8)
        if not head:
            raise DataError(
                f"{self.path} 是空文件",
                f"{self.path} is empty",
                todo_zh="检查导出是否成功，再换一个有内容的文件。",
                todo_en="Check that the export worked, and give a file with rows in it.",
            )
        if own := _OWN_MAGIC.get(self.kind):
            if not head.startswith(own):
                raise damaged(self.path, f"开头不是 {self.kind} 的标记", f"it does not begin like {self.kind}")
            return
        for magic, zh, en in _MAGIC:
            if head.startswith(magic):
                raise DataError(
                    f"{self.path} 的后缀说是 {self.kind}，内容却是{zh}",
                    f"{self.path} is named {self.kind} but holds {en}",
                    todo_zh="改成对的后缀，或者另存为 UTF-8 的 csv。",
                    todo_en="Give it the right suffix, or save it as a UTF-8 csv.",
                )


@contextmanager
def faults_as_ours(path: Path) -> Iterator[None]:
    """What can go wrong while a file is read, as DataError; a full disk as EnvironmentLack."""
    try:
        yield
    except PermissionError:
        raise DataError(
            f"没有权限读 {path}",
            f"Not permitted to read {path}",
            todo_zh="检查文件权限，或者关掉正在使用它的程序（例如 Excel）。",
            todo_en="Check its permissions, or close the program that holds it open (such as Excel).",
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, f"gzip 压缩不完整或已损坏：{error}", f"its gzip is cut short or broken: {error}") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise EnvironmentLack(
                f"磁盘满了，解不开 {path}",
                f"The disk is full: {path} could not be unpacked",
                todo_zh="腾出空间再运行。",
                todo_en="Free some space and run again.",
            ) from error
        raise DataError(
            f"读不了 {path}：{error.strerror or error}",
            f"Cannot read {path}: {error.strerror or error}",
            todo_zh="检查路径和磁盘。",
            todo_en="Check the path and the disk.",
        ) from error


def damaged(path: Path, zh: str, en: str) -> DataError:
    """The error for a file that is not whole."""
    return DataError(
        f"{path} 已损坏：{zh}",
        f"{path} is damaged: {en}",
        todo_zh="重新下载或重新导出这个文件。",
        todo_en="Download or export the file again.",
    )


def damaged_by(path: Path, error: Exception) -> DataError:
    """The same, where a library found it out and says so in its own words."""
    why = f"{error}".strip() or type(error).__name__
    return damaged(path, why, why)


def _missing(path: Path) -> DataError:
    names = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return DataError(
        f"没有文件 {path}" + (f"，是不是 {path.parent / near[0]}？" if near else ""),
        f"There is no file {path}" + (f"; did you mean {path.parent / near[0]}?" if near else ""),
        todo_zh="检查路径；内置数据写 embedded:reviews，Hub 上的写 hf:作者/名字。",
        todo_en="Check the path; built-in data is embedded:reviews, data on the Hub is hf:owner/name.",
    )


def _folder(path: Path) -> DataError:
    files = sorted(entry.name for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in _SUFFIXES)
    return DataError(
        f"{path} 是目录，不是文件",
        f"{path} is a folder, not a file",
        todo_zh="指明其中一个文件" + (f"，例如 {path / files[0]}" if files else "") + "。",
        todo_en="Name one of its files" + (f", such as {path / files[0]}" if files else "") + ".",
    )
