"""A file in, a file out: every value of the input is still there, whatever its columns are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qingtiao.data.read import read_records
from qingtiao.predict import Predictor
from qingtiao.workflows.predict import predict_file

SUFFIXES = [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx", ".csv.gz"]


def answered(predictor: Predictor, source: Path, target: Path) -> list[dict[str, Any]]:
    predict_file(predictor, source, target)
    return [dict(record.fields) for record in read_records(target)]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_that_has_its_new_name_already_loses_nothing(
    predictor: Predictor, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text,label,input_label,notice\n真棒,甲,乙,丙\n", encoding="utf-8")
    (row,) = answered(predictor, source, tmp_path / f"out{suffix}")
    assert {name: row[name] for name in ("text", "input_label", "input_label_2", "input_notice")} == {
        "text": "真棒",
        "input_label": "乙",
        "input_label_2": "甲",
        "input_notice": "丙",
    }
    assert row["label"] == predictor.predict(["真棒"])[0].label


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_answering_answers_again_and_again_keeps_them_all(predictor: Predictor, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "0.csv"
    source.write_text("text,label\n真棒,金标\n", encoding="utf-8")
    label = predictor.predict(["真棒"])[0].label
    for turn in range(1, 4):
        source, before = tmp_path / f"{turn}{suffix}", source
        (row,) = answered(predictor, before, source)
        kept = ["input_label", *(f"input_label_{n}" for n in range(2, turn + 1))]
        assert [row[name] for name in ("label", *kept)] == [label, "金标", *[label] * (turn - 1)]
        assert row["notice"] == ""


def test_a_name_means_the_same_in_every_row(predictor: Predictor, tmp_path: Path) -> None:
    rows = ({"text": "真棒", "label": "甲"}, {"text": "真差", "label": "乙", "input_label": "丙"})
    one, other = answered(predictor, jsonl(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl")
    assert (one["input_label_2"], "input_label" in one) == ("甲", False)
    assert (other["input_label_2"], other["input_label"]) == ("乙", "丙")
