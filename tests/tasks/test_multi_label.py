"""Several labels at once: reading and learning them, thresholds that stay, scores that are scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bases import save_base

from qingtiao.errors import DataError
from qingtiao.evaluate.thresholds import best_threshold, fit_thresholds
from qingtiao.label_sets import LabelSets, labels_in
from qingtiao.models.base import load_base
from qingtiao.tasks.multi_label import MultiLabelOptions, Task
from qingtiao.types import Place, Record, Row

PLACE = Place("a.csv", 3)


def rows_of(*targets: tuple[str, ...]) -> list[Row]:
    return [Row(f"第{number}句", target, Place("a.csv", number)) for number, target in enumerate(targets, start=2)]


def parse(*records: dict[str, Any], **options: Any) -> list[Row]:
    found = [Record(fields, Place("a.csv", number)) for number, fields in enumerate(records, start=2)]
    return Task.parse(found, options=MultiLabelOptions(**options), columns={}, labelled=True)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (["味道", "服务"], ("味道", "服务")),
        ('["味道", "服务"]', ("味道", "服务")),
        ("服务|味道", ("味道", "服务")),
        ("味道、服务；味道", ("味道", "服务")),
        ("味道", ("味道",)),
        ("", ()),
        (None, ()),
        ([], ()),
        ([2, 10, 1], ("1", "2", "10")),
        ("[味道", ("[味道",)),
    ],
)
def test_a_cell_is_read_as_a_set_of_labels(cell: Any, expected: tuple[str, ...]) -> None:
    found = labels_in(cell, separators="|;；、,，", names={}, place=PLACE)
    assert set(found) == set(expected)
    assert found == labels_in([*reversed(expected)], separators="|", names={}, place=PLACE)


@pytest.mark.parametrize("cell", [{"味道": 1}, [{"味道": 1}], [["味道"]], [b"x"]])
def test_a_cell_that_holds_no_names_is_refused_with_its_row(cell: Any) -> None:
    with pytest.raises(DataError, match=r"a\.csv:3"):
        labels_in(cell, separators="|", names={}, place=PLACE)


def test_labels_are_renamed_and_divided_as_asked() -> None:
    rows = parse(
        {"text": "好", "labels": "0/1"}, {"text": "", "labels": "1"}, separators="/", label_names={"0": "味道"}
    )
    assert [row.target for row in rows] == [("1", "味道"), ("1",)]


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(DataError, match="不到两种"):
        LabelSets.fit(rows_of(("味道",), (), ("味道",)))
    with pytest.raises(DataError, match="不像多标签"):
        LabelSets.fit(rows_of(*((f"第{number}种",) for number in range(6))))
    sets = LabelSets.fit(rows_of(("味道",), ("服务", "味道"), (), ("服务",)))
    assert sets.shares == (0.5, 0.5)
    with pytest.raises(DataError, match=r"a\.csv:2.*环境"):
        sets.table(rows_of(("环境",)))


def test_the_best_threshold_is_that_of_trying_them_all() -> None:
    generator = np.random.default_rng(0)
    for n in (1, 2, 7, 40):
        scores = np.round(generator.random(n), 1)  # with ties
        gold = generator.random(n) < scores
        found = best_threshold(scores, gold)

        def f1(threshold: float, scores: Any = scores, gold: Any = gold) -> float:
            said = scores >= threshold
            return float(2 * (said & gold).sum() / max(1, said.sum() + gold.sum()))

        assert f1(found) == pytest.approx(max(f1(one) for one in [*scores, 2.0]))
        assert 0 <= found <= 1


def test_thresholds_by_mode() -> None:
    generator = np.random.default_rng(1)
    gold = np.stack([generator.random(200) < 0.4, generator.random(200) < 0.3, np.arange(200) < 3], axis=1)
    scores = np.clip(gold * [0.3, 0.6, 0.5] + generator.random((200, 3)) * 0.35, 0, 1)
    shared, by_label = (fit_thresholds(scores, gold, mode=mode) for mode in ("global", "label"))
    assert len(set(shared)) == 1
    assert by_label[0] < by_label[1]
    assert by_label[2] == shared[0]  # three positives say nothing of the label
    assert fit_thresholds(scores, gold, mode="half") == (0.5, 0.5, 0.5)
    assert fit_thresholds(scores, gold & (np.arange(200) < 2)[:, None], mode="label") == (0.5, 0.5, 0.5)


def test_fitted_thresholds_are_kept_and_decide_what_is_said() -> None:
    rows = rows_of(*[("味道",), ("服务",), ("味道", "服务"), ()] * 10)
    task = Task.fit(rows, MultiLabelOptions())
    # Whatever is right lies at about 0.27, whatever is wrong at about 0.12: at 0.5 nothing would be said.
    outputs = [np.float32([-1.0 if name in row.target else -2.0 for name in task.labels]) for row in rows]
    assert all(not answer.as_json()["labels"] for answer in task.decode(outputs, rows, None))
    kept = Task.from_state(task.tune(outputs, rows).state())
    assert [set(answer.as_json()["labels"]) for answer in kept.decode(outputs, rows, None)] == [
        set(row.target) for row in rows
    ]
    assert task.score(outputs, rows)["micro_f1"] == 1.0


def test_scores_are_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(2)
    names = ("甲", "乙", "丙")
    gold = generator.random((80, 3)) < 0.4
    rows = rows_of(*(tuple(name for name, one in zip(names, row, strict=True) if one) for row in gold))
    sets = LabelSets.fit(rows)
    probabilities = generator.random((80, 3))
    sums = sets.sums([sets.answer(one) for one in probabilities], rows)
    table = sets.table(rows)
    expected = {kind: f1_score(table, probabilities >= 0.5, average=kind) for kind in ("micro", "macro")}
    for measure in Task.measures:
        if measure.name != "exact_match":
            assert measure.value(sums[measure.name]) == pytest.approx(expected[measure.name.removesuffix("_f1")])
    assert sums["exact_match"][:, 0].tolist() == (table == (probabilities >= 0.5)).all(axis=1).tolist()


@torch.no_grad()
def test_the_loss_is_binary_cross_entropy_over_labels(tmp_path: Any) -> None:
    rows = rows_of(("味道",), ("服务", "味道"), (), ("服务",))
    task = Task.fit(rows, MultiLabelOptions())
    save_base(tmp_path, task.auto_class, map(str, Task.samples))
    base = load_base(
        str(tmp_path),
        revision=None,
        auto_class=task.auto_class,
        processor_class=task.processor_class,
        model_options=task.model_options(),
    )
    batch = task.collate(task.encode(rows, base.tokenizer, 32), base.tokenizer)
    logits = np.stack(task.judge(base.model.eval(), batch))
    gold = task.sets.table(rows)
    expected = (np.logaddexp(0, logits) - gold * logits).mean()
    assert float(task.loss(base.model, batch)) == pytest.approx(float(expected), abs=1e-5)
    assert task.score(list(logits), rows)["loss"] == pytest.approx(float(expected), abs=1e-5)
    assert batch["labels"].dtype == torch.float32


def test_the_linear_baseline_learns_and_says_no_label_where_there_is_none() -> None:
    texts = {"味道": "菜太咸了", "服务": "店员不理人"}
    targets = [("味道",), ("服务",), ("味道", "服务"), ()] * 15
    rows = [
        Row("，".join([f"第{n}次", *(texts[one] for one in target)]), target, Place("a.csv", n))
        for n, target in enumerate(targets)
    ]
    task = Task.fit(rows, MultiLabelOptions())
    baselines = task.baselines(rows, seed=0)
    assert set(baselines) == {"tfidf", "majority"}
    told = [set(answer.as_json()["labels"]) for answer in baselines["tfidf"](rows)]
    assert np.mean([one == set(row.target) for one, row in zip(told, rows, strict=True)]) > 0.9
    assert len({answer.as_json()["labels"].__repr__() for answer in baselines["majority"](rows)}) == 1
