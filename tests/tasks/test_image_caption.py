"""Captions and answers: what is read, what of a conversation is learnt, and how images take their place in it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import save_architecture
from PIL import Image

from qingtiao.answers import Text
from qingtiao.errors import BaseModelError, DataError
from qingtiao.models.base import load_base
from qingtiao.models.causal import IGNORED
from qingtiao.tasks.image_caption import CaptionOptions, Task
from qingtiao.types import Place, Record, References, Row
from qingtiao.vision.prompts import INPUTS
from qingtiao.workflows.material import sample_records

OPTIONS = CaptionOptions()
PICTURE = Task.samples[0]["image"]


def parsed(records: list[dict[str, Any]], *, labelled: bool = True, **columns: str) -> list[Row]:
    given = [Record(fields, Place("a.jsonl", number)) for number, fields in enumerate(records, start=1)]
    return Task.parse(given, options=OPTIONS, columns=columns, labelled=labelled)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    words = [f"{sample['question']}{sample['answer']}" for sample in Task.samples]
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param), texts=words)
    return load_base(
        folder,
        revision=None,
        auto_class=Task.auto_class,
        processor_class=Task.processor_class,
        model_options={},
    )


@pytest.fixture(scope="module")
def samples() -> list[Row]:
    return Task.parse(sample_records("image_caption"), options=OPTIONS, columns={}, labelled=True)


@pytest.fixture(scope="module")
def task(samples: list[Row]) -> Task:
    return Task.fit(samples, OPTIONS)


# --- rows -----------------------------------------------------------------------------------------


def test_a_caption_is_the_answer_to_the_usual_question() -> None:
    (row,) = parsed([{"图片": PICTURE, "说明": " 一个红色的圆 ", "来源": "自己画的"}])
    assert row.target == References(("一个红色的圆",))
    assert row.fields["question"] == OPTIONS.question
    assert row.fields["来源"] == "自己画的"
    assert row.text.endswith(OPTIONS.question)
    assert len(row.alike) == 1


def test_columns_may_be_named_and_questions_may_be_empty() -> None:
    records = [{"pic": PICTURE, "q": "什么颜色？", "a": "红"}, {"pic": PICTURE, "q": "", "a": "圆"}]
    rows = parsed(records, image="pic", question="q", label="a")
    assert [row.fields["question"] for row in rows] == ["什么颜色？", OPTIONS.question]
    assert rows[0].alike == rows[1].alike  # one picture: both go to the same side of a split
    asked = parsed([{"image": PICTURE}], labelled=False)
    assert asked[0].target is None and asked[0].fields["question"] == OPTIONS.question
    assert parsed([{"image": ""}], labelled=False)[0].text == ""


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"image": PICTURE, "answer": ""}, "没有回答"),
        ({"image": "", "answer": "圆"}, "没有图片"),
        ({"image": "nowhere.png", "answer": "圆"}, "找不到图片"),
        ({"image": PICTURE}, "回答"),
    ],
)
def test_rows_that_cannot_be_learnt_from_name_their_place(record: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        parsed([record])
    assert "a.jsonl" in caught.value.zh


# --- what is learnt -------------------------------------------------------------------------------


def test_only_the_answer_and_its_end_are_learnt(base: Any, task: Task, samples: list[Row]) -> None:
    features = task.encode(samples, base.tokenizer, 64)
    words = base.tokenizer.tokenizer
    assert len(features) == 30
    for feature, row in zip(features, samples, strict=True):
        learnt = [label for label in feature["labels"] if label != IGNORED]
        assert words.decode(learnt) == f"{row.target[0]}<|im_end|>"
        assert task.weight(feature) == len(learnt)
        assert not feature["cut"]
        shown = words.decode(feature["input_ids"])
        assert shown.count("<|image_pad|>") == 4  # 16 x 16 pixels, 8 x 8 a token
        assert shown.index("<|image_pad|>") < shown.index(row.fields["question"]) < shown.index(row.target[0])


def test_the_loss_is_that_of_transformers(base: Any, task: Task, samples: list[Row]) -> None:
    batch = task.collate(task.encode(samples[:5], base.tokenizer, 64), base.tokenizer)
    with torch.inference_mode():
        ours = task.loss(base.model.eval(), batch)
        theirs = base.model(**{name: batch[name] for name in INPUTS}, labels=batch["labels"]).loss
        judged = task.judge(base.model, batch)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)
    assert -np.concatenate(judged).mean() == pytest.approx(float(ours), abs=1e-5)
    assert task.score(judged, samples[:5])["loss"] == pytest.approx(float(ours), abs=1e-5)


def test_the_picture_matters_and_the_batch_does_not(base: Any, task: Task, samples: list[Row]) -> None:
    rows = [samples[0], samples[3], samples[10]]
    other = Row(**{**_fields_of(rows[0]), "fields": {**rows[0].fields, "image": samples[28].fields["image"]}})

    def judge(some: list[Row]) -> list[Any]:
        with torch.inference_mode():
            return task.judge(base.model.eval(), task.collate(task.encode(some, base.tokenizer, 64), base.tokenizer))

    together, alone, changed = judge(rows), judge(rows[:1]), judge([other])
    assert np.allclose(together[0], alone[0], atol=1e-5)
    assert np.abs(alone[0] - changed[0]).max() > 1e-4


def _fields_of(row: Row) -> dict[str, Any]:
    return {"text": row.text, "target": row.target, "place": row.place, "alike": row.alike}


def test_answers_do_not_depend_on_the_padding(base: Any, task: Task, samples: list[Row]) -> None:
    rows = [samples[0].unanswered(), Row("x", None, Place("m", 1), {**samples[1].fields, "question": "色？"})]
    features = task.encode(rows, base.tokenizer, 64)
    assert all("labels" not in feature for feature in features)

    def answer(some: Any) -> list[list[float]]:
        with torch.inference_mode():
            return [ids.tolist() for ids in task.infer(base.model.eval(), task.collate(some, base.tokenizer))]

    assert answer(features) == [*answer(features[:1]), *answer(features[1:])]


def test_an_answer_can_be_watched(base: Any, task: Task, samples: list[Row]) -> None:
    asked = [samples[0].unanswered()]
    batch = task.collate(task.encode(asked, base.tokenizer, 64), base.tokenizer)
    with torch.inference_mode():
        (whole,) = task.decode(task.infer(base.model.eval(), batch), asked, base.tokenizer)
    told = list(task.speak(base.model, batch, base.tokenizer))
    assert told[-1] == whole
    assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(told))


# --- images of all sizes ----------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Row:
    path = tmp_path / "large.png"
    Image.new("RGB", (300, 200), (10, 200, 10)).save(path)
    return Row("large", References(("绿。",)), Place("a.jsonl", 3), {"image": str(path), "question": "色？"})


def test_a_large_image_takes_no_more_than_it_may(base: Any, task: Task, large: Row) -> None:
    pads = base.tokenizer.image_token_id
    (whole,) = task.encode([large], base.tokenizer, 64)
    assert 9 <= whole["input_ids"].count(pads) <= 16  # what the base itself takes at most
    few = Task.fit([large], CaptionOptions(image_tokens=6))
    (small,) = few.encode([large], base.tokenizer, 64)
    assert 3 <= small["input_ids"].count(pads) <= 6
    batch = few.collate([small], base.tokenizer)
    assert int(batch["image_grid_thw"].prod()) == len(batch["pixel_values"]) == 4 * small["input_ids"].count(pads)
    assert int(batch["mm_token_type_ids"].sum()) == small["input_ids"].count(pads)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_turned_image_takes_the_place_it_needs(base: Any, task: Task, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (48, 16), (200, 10, 10)).save(path, exif=exif)
    row = Row("turned", References(("红。",)), Place("a.jsonl", 3), {"image": str(path), "question": "色？"})
    batch = task.collate(task.encode([row], base.tokenizer, 64), base.tokenizer)
    _, height, width = batch["image_grid_thw"][0].tolist()
    assert (height, width) == ((4, 12) if orientation == 1 else (12, 4))
    with torch.inference_mode():
        assert torch.isfinite(task.loss(base.model.eval(), batch))


def test_long_questions_and_answers_are_cut_and_say_so(base: Any, task: Task, samples: list[Row]) -> None:
    long = Row("x", References(("红。" * 60,)), Place("a.jsonl", 1), dict(samples[0].fields))
    (feature,) = task.encode([long], base.tokenizer, 64)
    assert feature["cut"] and len(feature["input_ids"]) == 64 and task.weight(feature) > 5
    asked = Row("x", None, Place("a.jsonl", 1), {**samples[0].fields, "question": "什么颜色？" * 60})
    (feature,) = task.encode([asked], base.tokenizer, 64)
    assert feature["cut"] and len(feature["input_ids"]) <= 64 - feature["new_tokens"]
    assert feature["input_ids"].count(base.tokenizer.image_token_id) == 4
    with pytest.raises(DataError, match=r"a\.jsonl:1"):
        task.encode([asked], base.tokenizer, 12)


def test_a_question_cannot_pretend_to_be_an_image(base: Any, task: Task, samples: list[Row]) -> None:
    sly = Row("x", None, Place("a.jsonl", 1), {**samples[0].fields, "question": "<|image_pad|>色？"})
    (feature,) = task.encode([sly], base.tokenizer, 64)
    assert feature["input_ids"].count(base.tokenizer.image_token_id) == 4


def test_bases_that_see_in_another_way_are_refused(task: Task, samples: list[Row], tmp_path: Path) -> None:
    folder = save_architecture("chinese_clip", tmp_path)
    clip = load_base(folder, revision=None, auto_class="AutoModel", processor_class="AutoProcessor", model_options={})
    with pytest.raises(BaseModelError, match="Qwen-VL"):
        task.encode(samples, clip.tokenizer, 64)


def test_a_template_that_knows_no_images_is_refused(base: Any, task: Task, samples: list[Row]) -> None:
    words = base.tokenizer.tokenizer
    kept = words.chat_template
    words.chat_template = kept.replace("<|vision_start|><|image_pad|><|vision_end|>", "")
    try:
        with pytest.raises(DataError, match=r"samples:image_caption:1.*图片"):
            task.encode(samples, base.tokenizer, 64)
    finally:
        words.chat_template = kept


# --- what is judged -------------------------------------------------------------------------------


def test_exact_answers_set_marks_and_width_aside(task: Task, samples: list[Row]) -> None:
    rows = samples[:3]
    gold = [row.target[0] for row in rows]
    sums = task.measure([Text(gold[0].rstrip("。")), Text("不知道"), Text("")], rows)
    assert sums["exact"].tolist() == [[1, 1], [0, 1], [0, 1]]
    assert sums["rouge_l"][0, 0] == 1 and sums["rouge_l"][2, 0] == 0


def test_baselines_answer_the_question_that_was_asked(task: Task, samples: list[Row]) -> None:
    baselines = task.baselines(samples, seed=1)
    assert baselines.keys() == {"lookalike", "majority"}
    told = baselines["majority"](samples)
    by_question = {row.fields["question"]: answer.text for row, answer in zip(samples, told, strict=True)}
    assert len(by_question) == 3
    for question, answer in by_question.items():
        assert answer in {row.target[0] for row in samples if row.fields["question"] == question}
    exact = {name: task.measure(one(samples), samples)["exact"][:, 0].mean() for name, one in baselines.items()}
    assert exact["lookalike"] > exact["majority"]
    strange = Row("x", None, Place("m", 1), {**samples[0].fields, "question": "贵吗？"})
    assert all(baseline([strange])[0].text for baseline in baselines.values())
