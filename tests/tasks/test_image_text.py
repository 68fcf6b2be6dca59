"""Image and text: how rows are read, which of them are alike, and what is answered."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qingtiao.config import DataConfig, NormaliseConfig
from qingtiao.data.audit import audit
from qingtiao.data.clean import clean
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.tasks.image_text import PairOptions, Task
from qingtiao.types import Dataset, Place, Record, References, Row
from qingtiao.vision.files import open_image
from qingtiao.workflows.material import prepare, rows_hash, sample_records

OPTIONS = PairOptions()


def parsed(records: list[dict[str, Any]], *, labelled: bool = True, source: str = "a.jsonl", **columns: str) -> Any:
    given = [Record(fields, Place(source, number)) for number, fields in enumerate(records, start=1)]
    return Task.parse(given, options=OPTIONS, columns=columns, labelled=labelled)


@pytest.fixture(scope="module")
def samples() -> list[Row]:
    return Task.parse(sample_records("image_text"), options=OPTIONS, columns={}, labelled=True)


def sample(index: int, **changes: Any) -> dict[str, Any]:
    return {**Task.samples[index], **changes}


# --- rows -----------------------------------------------------------------------------------------


def test_samples_are_pictures_that_differ_and_show_what_they_say(samples: list[Row]) -> None:
    assert len(samples) == 30
    assert len({row.alike[0] for row in samples}) == len({row.fields["caption"] for row in samples}) == 30
    assert len({row.fields["label"] for row in samples}) == 6
    red = np.asarray(open_image(str(samples[0].fields["image"]), "sample"))
    assert samples[0].fields["caption"] == "红色的圆"
    assert red.shape == (16, 16, 3)
    assert red[8, 8].tolist() == [214, 40, 40] and red[0, 0].tolist() == [255, 255, 255]


def test_columns_are_found_by_name_and_others_kept(tmp_path: Path) -> None:
    (tmp_path / "圆.bmp").write_bytes(base64.b64decode(Task.samples[0]["image"].partition(",")[2]))
    records = [{"图片": "圆.bmp", "菜名": "红烧肉", "类别": "荤菜", "价格": 38}]
    (row,) = parsed(records, source=str(tmp_path / "a.jsonl"))
    assert row.text == "圆.bmp"
    assert row.target == References(("红烧肉",))
    assert row.fields["image"] == str(tmp_path / "圆.bmp")
    assert (row.fields["caption"], row.fields["label"], row.fields["价格"]) == ("红烧肉", "荤菜", 38)
    assert json.loads(json.dumps(row.fields)) == row.fields
    (other,) = parsed([{"图片": Task.samples[0]["image"], "甲": "红烧肉"}], text="甲")
    assert other.fields["label"] is None


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"image": "", "text": "甲"}, "没有图片"),
        ({"image": "nowhere.png", "text": "甲"}, "找不到图片"),
        ({"image": "data:,abc", "text": "甲"}, "读不了图片"),
        ({"image": Task.samples[0]["image"]}, "说明"),
        ({"words": "甲"}, "图片"),
    ],
)
def test_rows_that_cannot_be_learnt_from_name_their_place(record: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        parsed([record])
    assert "a.jsonl" in caught.value.zh


def test_what_is_asked_needs_no_text_and_opens_no_file() -> None:
    rows = parsed([{"image": "nowhere.png", "候选": "圆\n方块\n圆\n"}], labelled=False)
    assert rows[0].target is None and rows[0].fields["candidates"] == ["圆", "方块"]
    with pytest.raises(DataError, match="只有一个候选"):
        parsed([{"image": "a.png", "candidates": ["圆"]}], labelled=False)


def test_normalising_reaches_captions_and_candidates(samples: list[Row]) -> None:
    normaliser = Normaliser(NormaliseConfig())
    wide = replace(samples[0], fields={**samples[0].fields, "caption": "ＡＢ", "candidates": ["Ｃ"]})
    row = Task.normalised(wide, normaliser)
    assert row.fields["caption"] == row.target[0] == normaliser("ＡＢ") == "AB"
    assert row.fields["candidates"] == ["C"]
    assert row.text == wide.text


# --- alike ----------------------------------------------------------------------------------------


def test_the_same_picture_under_two_texts_is_told_and_a_copy_is_dropped() -> None:
    rows = tuple(parsed([sample(0), sample(0), sample(0, text="一个红球"), sample(7), sample(13)]))
    report = audit(Dataset(train=rows), threshold=0.5, max_length=64)
    assert {"exact_duplicates", "near_duplicates"} <= {finding.code for finding in report.findings} or report.findings
    kept, log = clean(Dataset(train=rows), threshold=0.5)
    assert len(kept.train) == 4
    assert [touched.reason for touched in log] == ["duplicate"]


@pytest.mark.parametrize(("apart", "shared"), [(True, False), (False, True)])
def test_a_text_lies_in_one_split_unless_asked_otherwise(tmp_path: Path, apart: bool, shared: bool) -> None:
    path = tmp_path / "a.jsonl"
    rows = [sample(i, text=f"第{i % 6}种") for i in range(30)]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    dataset = prepare(
        DataConfig(train=str(path), dev_share=0.2, test_share=0.2),
        task="image_text",
        task_options={"captions_apart": apart},
        normaliser=Normaliser(NormaliseConfig()),
        max_length=64,
        seed=1,
    ).dataset
    texts = {name: {row.fields["caption"] for row in rows} for name, rows in dataset.splits().items()}
    assert len(texts) == 3
    assert bool(texts["train"] & texts["test"]) is shared


def test_the_hash_of_rows_sees_the_picture(samples: list[Row]) -> None:
    other = replace(samples[0], alike=samples[1].alike)
    assert rows_hash([samples[0]]) != rows_hash([other])


# --- what is learnt and answered --------------------------------------------------------------------


def test_labels_are_those_of_the_column_or_else_the_texts(samples: list[Row]) -> None:
    named = Task.fit(samples, OPTIONS)
    assert named.named and set(named.labels) == {"圆", "方块", "三角", "十字", "横条", "圆环"}
    bare = [replace(row, fields={**row.fields, "label": None}) for row in samples]
    texts = Task.fit(bare, OPTIONS)
    assert not texts.named and len(texts.labels) == 30
    with pytest.raises(DataError, match="只有 1 种"):
        Task.fit(samples[:5], OPTIONS)


def test_a_new_label_counts_as_missed_and_a_wrong_column_is_refused(samples: list[Row]) -> None:
    task = Task.fit(samples, OPTIONS)
    strange = [replace(row, fields={**row.fields, "label": "星星"}) for row in samples]
    task.check([*samples[:3], strange[4]])
    with pytest.raises(DataError, match="星星"):
        task.check(strange)
    answers = task.baselines(samples, seed=1)["lookalike"]([samples[0], strange[4]])
    assert task.measure(answers, [samples[0], strange[4]])["accuracy"].tolist() == [[1, 1], [0, 1]]


def test_baselines_beat_nothing_by_chance_and_much_by_colour(samples: list[Row]) -> None:
    task = Task.fit(samples, OPTIONS)
    baselines = task.baselines(samples, seed=1)
    assert baselines.keys() == {"chance", "lookalike"}
    scores = {}
    for name, baseline in baselines.items():
        sums = task.measure(baseline(samples), samples)
        scores[name] = {one.name: float(one.value(sums[one.name])) for one in task.measures}
    assert scores["chance"]["image_to_text_1"] < 0.2
    assert scores["lookalike"]["mean_recall"] > scores["chance"]["mean_recall"] + 0.2
    again = task.baselines(samples, seed=1)["chance"](samples)
    assert again == baselines["chance"](samples)


def test_a_prompt_must_have_a_place_for_the_label() -> None:
    with pytest.raises(ValueError, match="prompt"):
        PairOptions(prompt="一张照片")


def test_the_blank_answer_is_the_commonest_label(samples: list[Row]) -> None:
    task = Task.fit(samples[:8], OPTIONS)
    answer = task.blank_answer()
    assert answer.label == "圆" and answer.notice
    assert sum(answer.probabilities.values()) == pytest.approx(1)
