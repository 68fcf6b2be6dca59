"""Writing: safe for spreadsheets, whole or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qingtiao.data.read import read_records
from qingtiao.data.write import write_records
from qingtiao.errors import DataError, RunError

DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")']


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx"])
def test_formulas_are_neutralised_in_tables(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_records(path, [{"text": cell, "label": -1} for cell in DANGEROUS], neutralise=True)
    found = [record.fields["text"] for record in read_records(path)]
    # XML knows no carriage return: a workbook reads it back as a line feed.
    assert [cell[:2].replace("\n", "\r") for cell in found] == [f"'{cell[0]}" for cell in DANGEROUS]


def test_a_workbook_never_runs_a_formula(tmp_path: Path) -> None:
    write_records(tmp_path / "a.xlsx", [{"text": "=1+1"}], neutralise=False)
    assert [record.fields["text"] for record in read_records(tmp_path / "a.xlsx")] == ["=1+1"]


def test_jsonl_is_never_neutralised(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", [{"text": "=1+1"}], neutralise=True)
    assert [record.fields["text"] for record in read_records(tmp_path / "a.jsonl")] == ["=1+1"]


def test_a_csv_begins_with_the_mark_excel_needs(tmp_path: Path) -> None:
    write_records(tmp_path / "a.csv", [{"text": "好"}], neutralise=True)
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbftext\r\n")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "parquet", "xlsx", "csv.gz"])
def test_a_failure_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield {"text": "好"}
        raise KeyError("half way")

    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(KeyError):
        write_records(path, failing(), neutralise=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet", "xlsx"])
def test_no_records_and_lone_surrogates_do_not_crash(tmp_path: Path, suffix: str) -> None:
    assert write_records(tmp_path / f"none.{suffix}", [], neutralise=True) == 0
    assert write_records(tmp_path / f"torn.{suffix}", [{"text": "坏\ud83d的"}], neutralise=True) == 1
    assert [record.fields["text"][0] for record in read_records(tmp_path / f"torn.{suffix}")] == ["坏"]


def test_gzip_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_records(tmp_path / f"{name}.jsonl.gz", [{"text": "好"}], neutralise=True)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_an_unknown_suffix_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="docx"):
        write_records(tmp_path / "a.docx", [], neutralise=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError):
        write_records(tmp_path / "file" / "a.csv", [{"text": "好"}], neutralise=True)


UNEVEN = [{"text": "好吃", "end": 1}, {"text": "难吃", "shop": "A店", "end": 2}, {"order": 3, "text": "一般", "end": 3}]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "csv.gz", "parquet.gz"])
@pytest.mark.parametrize("before", [0, 3000], ids=["few rows", "many rows"])
def test_a_column_that_comes_late_is_a_column(tmp_path: Path, suffix: str, before: int) -> None:
    path = tmp_path / f"a.{suffix}"
    rows: list[dict[str, Any]] = [{"text": "早", "end": 0}] * before + UNEVEN
    assert write_records(path, rows, neutralise=True) == len(rows)
    told = [dict(record.fields) for record in read_records(path)]
    assert list(told[0]) == ["order", "text", "shop", "end"]  # each behind the one it follows in its row
    empty = None if "parquet" in suffix else ""
    kept = [{name: value for name, value in row.items() if value != empty} for row in told]
    expected = [{name: value if "parquet" in suffix else str(value) for name, value in row.items()} for row in rows]
    assert kept == expected
    assert list(tmp_path.iterdir()) == [path]


def parquet_column(path: Path, values: list[Any]) -> tuple[pa.DataType, list[Any]]:
    """The type of a column of these values, and the values as they are read back."""
    write_records(path, ({"x": value} for value in values), neutralise=True)
    return pq.read_schema(path).field("x").type, [record.fields["x"] for record in read_records(path)]


NOON = datetime(2026, 1, 2, 12, 0, 0)

KEPT: dict[str, tuple[list[Any], pa.DataType]] = {
    "integers": ([1, None, -5], pa.int64()),
    "long integers": ([1, 2**64 - 1], pa.uint64()),
    "floats": ([1.5, None, float("inf")], pa.float64()),
    "integers and floats": ([1, 2.5, 2**53], pa.float64()),
    "booleans": ([True, None, False], pa.bool_()),
    "text, after nothing": ([None, None, "A2"], pa.string()),
    "nothing": ([None, None], pa.string()),
    "lists": ([["甲", "乙"], [], None], pa.list_(pa.string())),
    "objects alike": ([{"a": 1, "b": "x"}, {"b": "y", "a": 2.5}], pa.struct({"a": pa.float64(), "b": pa.string()})),
    "days": ([date(2026, 1, 2), None], pa.date32()),
    "times": ([NOON, None], pa.timestamp("us")),
    "times with a zone": ([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")),
    "decimals": ([Decimal("1.25"), Decimal("10000.5")], pa.decimal128(7, 2)),
}


@pytest.mark.parametrize("name", sorted(KEPT))
@pytest.mark.parametrize("apart", [0, 2000], ids=["together", "apart"])
def test_values_of_one_kind_keep_it_in_parquet(tmp_path: Path, name: str, apart: int) -> None:
    values, kind = KEPT[name]
    spread = [other for value in values for other in (value, *[None] * apart)]
    found, told = parquet_column(tmp_path / "a.parquet", spread)
    assert found == kind
    assert told == spread


TEXT: dict[str, tuple[list[Any], list[Any]]] = {
    "numbers and text": ([1, "A2", None, 2.5, True], ["1", "A2", None, "2.5", "true"]),
    "text and numbers": (["A2", 1], ["A2", "1"]),
    "integers beyond float64": ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
    "integers beyond 64 bits": ([2**64, -1], ["18446744073709551616", "-1"]),
    "lists of all sorts": ([[1, "二"], [{"a": float("nan")}]], ['[1, "二"]', '[{"a": null}]']),
    "objects that differ": ([{"a": 1}, {"b": 2}, {}], ['{"a": 1}', '{"b": 2}', "{}"]),
    "objects, the first empty": ([{}, {"b": 2}], ["{}", '{"b": 2}']),
    "empty objects": ([{}, [{}]], ["{}", "[{}]"]),
    "objects and text": ([{"a": 1}, "x"], ['{"a": 1}', "x"]),
    "days and times": ([date(2026, 1, 2), NOON], ["2026-01-02", "2026-01-02 12:00:00"]),
    "times with a zone and without": (
        [NOON, NOON.replace(tzinfo=UTC)],
        ["2026-01-02 12:00:00", "2026-01-02 12:00:00+00:00"],
    ),
    "half a character": (["坏\ud83d", {"坏\ud83d": 1}], ["坏?", '{"坏?": 1}']),
}


@pytest.mark.parametrize("name", sorted(TEXT))
@pytest.mark.parametrize("apart", [0, 2000], ids=["together", "apart"])
def test_values_of_several_kinds_are_text_in_parquet(tmp_path: Path, name: str, apart: int) -> None:
    values, expected = TEXT[name]
    found, told = parquet_column(tmp_path / "a.parquet", [v for value in values for v in (value, *[None] * apart)])
    assert found == pa.string()
    assert told == [v for value in expected for v in (value, *[None] * apart)]


def test_what_excel_would_change_is_text_in_a_workbook(tmp_path: Path) -> None:
    values = [430102199003070012, float("nan"), NOON.replace(tzinfo=UTC), b"\xff", ["甲"], -12, 1.5]
    write_records(tmp_path / "a.xlsx", [{"x": value} for value in values], neutralise=False)
    told = [record.fields["x"] for record in read_records(tmp_path / "a.xlsx")]
    zoned = "2026-01-02 12:00:00+00:00"
    assert told == ["430102199003070012", "nan", zoned, "b'\\xff'", '["甲"]', "-12", "1.5"]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_json_is_json_for_every_reader(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    row = {"text": "坏\ud83d", "price": float("nan"), "deep": [{"x": float("-inf")}, 1.5]}
    write_records(path, [row], neutralise=True)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    told = json.loads(path.read_text(encoding="utf-8").strip("[]\n"), parse_constant=refuse)
    assert told == {"text": "坏\ud83d", "price": None, "deep": [{"x": None}, 1.5]}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, suffix: str) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        write_records(tmp_path / f"a.{suffix}", ({"text": f"{n}" * 50, "n": n} for n in range(rows)), neutralise=True)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(5_000)
    assert peak(40_000) < 1.5 * peak(5_000)


_ENDED = """
import os, resource, signal, sys
from pathlib import Path
from qingtiao.data.write import write_records
from qingtiao.errors import EnvironmentLack
path, how = Path(sys.argv[1]), sys.argv[2]

def rows():
    for n in range(5000):
        if n == 4000 and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"text": os.urandom(40).hex(), "n": n}

if how == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    write_records(path, rows(), neutralise=True)
except EnvironmentLack as error:
    sys.exit(error.exit_code)
"""


def ended(path: Path, *how: str) -> int:
    command = [sys.executable, "-c", _ENDED, str(path), *how]
    return subprocess.run(command, timeout=120, check=False).returncode


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet", "jsonl"])
def test_a_killed_writer_leaves_the_old_file_and_is_in_nobodys_way(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    assert ended(path, "killed") == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    left = [one.name for one in tmp_path.iterdir() if one != path]
    assert all(name.startswith(f".{path.name}.") and name.endswith(".tmp") for name in left)
    assert write_records(path, [{"text": "好"}], neutralise=True) == 1
    assert [record.fields["text"] for record in read_records(path)] == ["好"]


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE there")
@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet", "jsonl"])
@pytest.mark.parametrize("room", ["20000", "250000"])
def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path, suffix: str, room: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    assert ended(path, "full", room) == 3
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
