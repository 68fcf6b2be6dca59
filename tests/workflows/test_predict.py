"""A file in, a file out: every value of the input is still there, whatever its columns are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from qingtiao.data.read import read_records
from qingtiao.errors import DataError
from qingtiao.predict import Predictor
from qingtiao.workflows.predict import predict_file

SUFFIXES = [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx", ".csv.gz"]


def answered(predictor: Predictor, source: Path, target: Path) -> list[dict[str, Any]]:
    predict_file(predictor, source, target)
    return [dict(record.fields) for record in read_records(target)]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_sheet_can_be_named_and_its_workbook_is_not_written_over(predictor: Predictor, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for title, text in (("一月", "好吃"), ("二月", "难吃")):
        sheet = book.create_sheet(title)
        sheet.append(["text"])
        sheet.append([text])
    path = tmp_path / "a.xlsx"
    book.save(path)
    asked = Path(f"{path}#二月")
    assert [row["text"] for row in answered(predictor, asked, tmp_path / "out.csv")] == ["难吃"]
    before = path.read_bytes()
    with pytest.raises(DataError, match="同一个文件"):
        predict_file(predictor, asked, path)
    assert path.read_bytes() == before


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


def test_tables_have_the_columns_of_every_row(predictor: Predictor, tmp_path: Path) -> None:
    rows = [{"text": "好吃"}, {"text": "难吃", "shop": "A店", "label": "负面"}, {"text": "一般", "order": 3}]
    source = jsonl(tmp_path / "in.jsonl", *rows)
    told = answered(predictor, source, tmp_path / "out.csv")
    assert [(row["shop"], row["input_label"], row["order"]) for row in told] == [
        *(("", "", ""), ("A店", "负面", ""), ("", "", "3"))
    ]
    assert list(told[0])[:5] == ["text", "order", "shop", "input_label", "label"]
    assert [row["order"] for row in answered(predictor, source, tmp_path / "out.parquet")] == [None, None, 3]


def test_ids_of_two_kinds_and_late_ones_reach_parquet(predictor: Predictor, tmp_path: Path) -> None:
    rows = [*({"text": "真棒", "id": n, "shop": None} for n in range(1500)), {"text": "真差", "id": "A2", "shop": "甲"}]
    told = answered(predictor, jsonl(tmp_path / "in.jsonl", *rows), tmp_path / "out.parquet")
    assert [row["id"] for row in told] == [*map(str, range(1500)), "A2"]
    assert [told[0]["shop"], told[-1]["shop"]] == [None, "甲"]
    assert set(told[0]["probabilities"]) == set(predictor.labels)


def test_what_is_no_number_is_null(predictor: Predictor, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "好吃", "price": NaN, "more": [Infinity, 1]}\n', encoding="utf-8")
    predict_file(predictor, source, target)
    assert '"price": null, "more": [null, 1]' in target.read_text(encoding="utf-8")
