"""The public benchmark files, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qingtiao.data.columns import to_rows
from qingtiao.data.read import read_records
from qingtiao.types import Dataset


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """The folder of public data sets that `QINGTIAO_BENCHMARK_DATA` names; without it the test is skipped."""
    folder = os.environ.get("QINGTIAO_BENCHMARK_DATA")
    if not folder:
        pytest.skip("set QINGTIAO_BENCHMARK_DATA to the folder that holds chnsenticorp/ and waimai_10k.csv")
    return Path(folder)


@pytest.fixture(scope="session")
def chnsenticorp(benchmark_data: Path) -> Dataset:
    folder = benchmark_data / "chnsenticorp"
    return Dataset(
        **{
            name: tuple(to_rows(read_records(folder / f"{name}.tsv"), text_column=None, label_column=None))
            for name in ("train", "dev", "test")
        }
    )
