"""Writing: safe for spreadsheets, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
