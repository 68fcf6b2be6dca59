"""Writing that leaves either the old file or the new one, whole, whatever happens in between."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

from qingtiao.errors import EnvironmentLack, RunError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTEMPTY,
}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises:
        EnvironmentLack: the disk is full.
        RunError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors_as_ours(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see `atomic_file` for what is raised."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut; does nothing where folders cannot be synced (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors_as_ours(path: Path) -> Iterator[None]:
    """A full disk becomes EnvironmentLack, a folder that cannot be written RunError; other errors pass."""
    try:
        yield
    except SafetensorError as error:
        # Its writer tells of the system's error in words only.
        if "I/O error" not in str(error):
            raise
        raise disk_full(path) from error
    except OSError as error:
        if is_full(error):
            raise disk_full(path) from error
        if error.errno in _FORBIDDEN:
            raise RunError(
                f"写不了 {path}：{error.strerror}",
                f"Cannot write {path}: {error.strerror}",
                todo_zh="检查路径和权限，或者换一个输出位置。",
                todo_en="Check the path and its permissions, or write elsewhere.",
            ) from error
        raise


def is_full(error: OSError) -> bool:
    """Whether there was no room, or no more is allowed."""
    return error.errno in _FULL


def disk_full(path: Path) -> EnvironmentLack:
    return EnvironmentLack(
        f"磁盘满了，写不下 {path}",
        f"The disk is full: {path} could not be written",
        todo_zh="腾出空间再运行；训练中断的话加 --resume 接着来。已有的文件完好。",
        todo_en="Free some space and run again, with --resume if it was training. Existing files are whole.",
    )
