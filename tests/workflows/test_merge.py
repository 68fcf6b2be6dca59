"""`qingtiao merge` on bases in full precision; those in 8 and 4 bits are in `test_quantised.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import labelled_texts, write_csv

from qingtiao.config import RunConfig, parse
from qingtiao.errors import BundleError
from qingtiao.workflows.merge import merge
from qingtiao.workflows.train import train


@pytest.mark.parametrize("method", ["prompt_tuning", "lily"])  # no weights; weights that PEFT cannot fold in
def test_what_cannot_be_merged_is_refused_and_nothing_is_written(method: str, tiny_base: str, tmp_path: Path) -> None:
    values = {
        "data": {"train": str(write_csv(tmp_path / "a.csv", labelled_texts()))},
        "base": {"name": tiny_base, "max_length": 32},
        "adapter": {"method": method},
        "train": {"epochs": 1},
        "out": str(tmp_path / "run"),
    }
    list(train(parse(RunConfig, values)))
    with pytest.raises(BundleError) as refused:
        merge(tmp_path / "run" / "bundle", tmp_path / "merged")
    assert "合并" in str(refused.value) or "merged" in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "run"]
