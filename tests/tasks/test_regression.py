"""Numbers for texts: reading them, one scale in training, scores that are scipy's, and texts alone or in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bases import save_base
from scipy.stats import pearsonr, spearmanr

from qingtiao.errors import DataError
from qingtiao.models.base import load_base
from qingtiao.scale import Scale, number_in
from qingtiao.tasks.regression import RegressionOptions, Task
from qingtiao.types import Place, Record, Row

PLACE = Place("a.csv", 3)


def rows_of(*values: float) -> list[Row]:
    return [Row(f"第{number}句", value, Place("a.csv", number)) for number, value in enumerate(values, start=2)]


def parse(*records: dict[str, Any], columns: dict[str, str] | None = None, **options: Any) -> list[Row]:
    found = [Record(fields, Place("a.csv", number)) for number, fields in enumerate(records, start=2)]
    return Task.parse(found, options=RegressionOptions(**options), columns=columns or {}, labelled=True)


@pytest.mark.parametrize(
    ("cell", "expected"), [("4", 4.0), ("４．５", 4.5), (" -3 ", -3.0), (2, 2.0), (2.5, 2.5), ("1e3", 1000.0)]
)
def test_numbers_are_read(cell: Any, expected: float) -> None:
    assert number_in(cell, column="score", place=PLACE) == expected


@pytest.mark.parametrize("cell", ["", None, "三星", "nan", "inf", float("nan"), float("-inf"), [1], 10**400])
def test_what_is_no_finite_number_is_refused_with_its_row(cell: Any) -> None:
    with pytest.raises(DataError, match=r"a\.csv:3.*score"):
        number_in(cell, column="score", place=PLACE)


def test_equal_numbers_are_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="全是 3"):
        Task.fit(rows_of(3, 3, 3), RegressionOptions())


def test_the_number_column_is_found_by_its_names_before_it_is_taken_for_a_text() -> None:
    (row,) = parse({"星级": "4", "评论": "不错", "店名": "老王"})
    assert (row.text, row.target, dict(row.fields)) == ("不错", 4.0, {"店名": "老王"})
    (named,) = parse({"a": "不错", "b": "2"}, columns={"text": "a", "label": "b"})
    assert (named.text, named.target) == ("不错", 2.0)


def test_two_texts_where_there_are_two() -> None:
    both = {"sentence1": "天冷了", "sentence2": "降温了", "score": "4.2"}
    (pair,) = parse(both)
    assert pair.parts == ("天冷了", "降温了") and pair.target == 4.2
    (alone,) = parse(both, columns={"text": "sentence1"}, pair=False)
    assert alone.parts == () and alone.text == "天冷了"
    with pytest.raises(DataError, match="text_b"):
        parse({"text": "天冷了", "score": "1"}, pair=True)


def test_rows_of_one_text_are_refused_where_training_saw_two() -> None:
    pairs = parse(*({"text": f"第{n}句", "text_b": "另一句", "score": n} for n in range(3)))
    singles = parse(*({"text": f"第{n}句", "score": n} for n in range(3)))
    for task_rows, others in ((pairs, singles), (singles, pairs)):
        task = Task.fit(task_rows, RegressionOptions())
        task.check(task_rows)
        with pytest.raises(DataError, match=r"a\.csv:2"):
            task.check(others)
        assert Task.from_state(task.state()).options.pair is bool(task_rows[0].parts)


@pytest.mark.parametrize("offset", [0.0, 2024.0, 1e7])
def test_scores_are_scipys_whatever_the_unit(offset: float) -> None:
    generator = np.random.default_rng(0)
    gold = np.round(generator.normal(size=120), 1) + offset  # with ties
    scale = Scale.fit(rows_of(*gold))
    outputs = (gold - scale.mean) / scale.deviation + generator.normal(size=120)
    answers = scale.decode(outputs)
    said = [answer.value for answer in answers]
    sums = scale.sums(answers, rows_of(*gold))
    found = {measure.name: measure.value(sums[measure.name]) for measure in Task.measures}
    assert found["pearson"] == pytest.approx(pearsonr(said, gold).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(spearmanr(said, gold).statistic, abs=1e-6)
    assert found["mae"] == pytest.approx(np.mean(np.abs(np.array(said) - gold)), rel=1e-6)
    assert [measure.share for measure in Task.measures] == [False, False, False]


@torch.no_grad()
def test_the_loss_is_the_squared_error_on_the_scale_of_training(tmp_path: Path) -> None:
    rows = rows_of(100, 300, 200)
    task = Task.fit(rows, RegressionOptions())
    save_base(tmp_path, task.auto_class, map(str, Task.samples))
    base = load_base(
        str(tmp_path),
        revision=None,
        auto_class=task.auto_class,
        processor_class=task.processor_class,
        model_options=task.model_options(),
    )
    batch = task.collate(task.encode(rows, base.tokenizer, 32), base.tokenizer)
    outputs = task.judge(base.model.eval(), batch)
    expected = np.mean((np.concatenate(outputs) - np.array([-1.0, 1.0, 0.0]) * np.sqrt(1.5)) ** 2)
    assert float(task.loss(base.model, batch)) == pytest.approx(expected, rel=1e-4)
    assert task.score(outputs, rows)["loss"] == pytest.approx(expected, rel=1e-4)


def test_ridge_learns_and_the_mean_is_the_mean() -> None:
    words = {1.0: "太差", 3.0: "一般", 5.0: "极好"}
    rows = [Row(f"第{n}次来，{words[v]}", v, Place("a.csv", n)) for n, v in enumerate([1.0, 3.0, 5.0] * 15)]
    baselines = Task.fit(rows, RegressionOptions()).baselines(rows, seed=0)
    assert {answer.as_json()["value"] for answer in baselines["mean"](rows)} == {3.0}
    ridge = [answer.as_json()["value"] for answer in baselines["ridge"](rows)]
    assert np.abs(np.array(ridge) - [row.target for row in rows]).mean() < 0.5
