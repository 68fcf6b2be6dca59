"""Atomic writes: whatever goes wrong, the old file is whole and nothing lies about."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qingtiao.errors import EnvironmentLack, QingtiaoError, RunError
from qingtiao.files import atomic_file, atomic_write_text, disk_errors_as_ours

OLD = "旧的，完整的"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "报告.json"
    path.write_text(OLD, encoding="utf-8")
    return path


def test_the_new_file_takes_the_place_of_the_old(target: Path) -> None:
    atomic_write_text(target, "新的 😀")
    assert target.read_bytes() == "新的 😀".encode()
    assert list(target.parent.iterdir()) == [target]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "一" / "二" / "三.txt", "到了")
    assert (tmp_path / "一" / "二" / "三.txt").read_text(encoding="utf-8") == "到了"


def test_until_the_block_ends_the_old_file_stands(target: Path) -> None:
    with atomic_file(target) as file:
        file.write(b"half")
        file.flush()
        assert target.read_text(encoding="utf-8") == OLD
    assert target.read_bytes() == b"half"


def test_someone_who_is_reading_the_old_file_reads_it_to_its_end(target: Path) -> None:
    """The name moves to the new file in one step; the old one is never written over."""
    with target.open(encoding="utf-8") as reader:
        atomic_write_text(target, "新的")
        assert reader.read() == OLD
    assert target.read_text(encoding="utf-8") == "新的"


@pytest.mark.parametrize("failure", [ValueError("中途出错"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_a_failure_in_the_block_leaves_the_old_file(target: Path, failure: BaseException) -> None:
    def write_half() -> None:
        with atomic_file(target) as file:
            file.write("一半".encode())
            raise failure

    with pytest.raises(type(failure)):
        write_half()
    assert target.read_text(encoding="utf-8") == OLD
    assert list(target.parent.iterdir()) == [target]


def test_text_that_cannot_be_encoded_leaves_the_old_file(target: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(target, "半个字符 \ud83d")
    assert target.read_text(encoding="utf-8") == OLD
    assert list(target.parent.iterdir()) == [target]


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from qingtiao.files import atomic_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the kernel answers EFBIG, as a full disk answers ENOSPC
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
from qingtiao.errors import EnvironmentLack
try:
    with atomic_file(Path(sys.argv[1])) as file:
        file.write(b"x" * 100_000)
except EnvironmentLack as error:
    print(error.exit_code, type(error.__cause__).__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE there")
def test_a_disk_that_fills_up_leaves_the_old_file(target: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(target)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (answer.returncode, answer.stdout.strip()) == (0, "3 OSError"), answer.stderr
    assert target.read_text(encoding="utf-8") == OLD
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full there")
def test_the_kernels_own_no_space_left_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "zh")

    def fill() -> None:
        with disk_errors_as_ours(tmp_path / "a.bin"), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(EnvironmentLack, match="磁盘满了") as caught:
        fill()
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert str(tmp_path / "a.bin") in str(caught.value)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, EnvironmentLack),
        (errno.EDQUOT, EnvironmentLack),
        (errno.EACCES, RunError),
        (errno.EROFS, RunError),
        (errno.ENAMETOOLONG, RunError),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else value.__name__,
)
def test_what_a_user_can_cause_becomes_ours(number: int, kind: type[QingtiaoError], tmp_path: Path) -> None:
    def fail() -> None:
        with disk_errors_as_ours(tmp_path):
            raise OSError(number, os.strerror(number))

    with pytest.raises(kind):
        fail()


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    original = OSError(errno.EIO, "the disk is dying")

    def fail() -> None:
        with disk_errors_as_ours(tmp_path):
            raise original

    with pytest.raises(OSError, match="the disk is dying") as caught:
        fail()
    assert caught.value is original


def test_a_file_where_a_folder_should_be(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "en")
    with pytest.raises(RunError, match="Cannot write"):
        atomic_write_text(target / "inside.txt", "x")
    assert target.read_text(encoding="utf-8") == OLD


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep.txt").write_text(OLD, encoding="utf-8")
    with pytest.raises(RunError):
        atomic_write_text(tmp_path / "out", "x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["keep.txt", "out"]


def test_a_name_too_long_for_the_disk(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        atomic_write_text(tmp_path / ("长" * 200), "x")
    assert list(tmp_path.iterdir()) == []
