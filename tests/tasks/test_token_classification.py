"""Token classification beyond the contract: offsets of the text as given, long texts, odd rows, what it learns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bases import save_base

from qingtiao.answers import Span, Spans
from qingtiao.config import NormaliseConfig
from qingtiao.data.marks import Mark, marks_of
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.dictionary import Dictionary
from qingtiao.models.base import load_base
from qingtiao.predict import Predictor
from qingtiao.spans import OUTSIDE
from qingtiao.tasks.token_classification import Task, TokenOptions
from qingtiao.types import Place, Record, Row

CITIES = ("成都", "南宁", "拉萨", "青岛", "大理")
PEOPLE = ("林晓", "马跃", "何苗", "白雪", "韩冰")
TEXTS = [f"昨天{person}从{city}回来了" for person in PEOPLE for city in CITIES] + ["今天不想出门", "面煮好了"]


def parsed(*fields: Mapping[str, Any], options: TokenOptions | None = None) -> list[Row]:
    records = [Record(one, Place("memory", number)) for number, one in enumerate(fields, start=1)]
    return Task.parse(records, options=options or TokenOptions(), columns={}, labelled=True)


def marked(text: str) -> dict[str, Any]:
    found = [(name, label) for names, label in ((CITIES, "地名"), (PEOPLE, "人名")) for name in names if name in text]
    return {
        "text": text,
        "entities": [{"start": text.index(name), "end": text.index(name) + 2, "label": label} for name, label in found],
    }


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A tiny encoder that knows five people and five cities by heart."""
    folder = tmp_path_factory.mktemp("base")
    save_base(folder, Task.auto_class, [*TEXTS, "ＡＢＣ，。 "])
    rows = parsed(*map(marked, TEXTS))
    task = Task.fit(rows, TokenOptions())
    base = load_base(
        str(folder),
        revision=None,
        auto_class=Task.auto_class,
        processor_class=Task.processor_class,
        model_options=task.model_options(),
    )
    model = base.model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batch = task.collate(task.encode(rows, base.tokenizer, 64), base.tokenizer)
    for _ in range(60):
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05
    normaliser = Normaliser(NormaliseConfig())
    return Predictor(task, model, base.tokenizer, normaliser, 64, torch.device("cpu"), "fp32")


def test_what_was_learnt_is_found_where_it_stands(taught: Predictor) -> None:
    (answer,) = taught.predict(["昨天马跃从拉萨回来了"])
    assert answer.spans == (Span(2, 4, "人名", "马跃"), Span(5, 7, "地名", "拉萨"))
    assert answer.headline == "马跃/人名  拉萨/地名"
    assert answer.as_cells() == {"spans": "马跃/人名|拉萨/地名", "notice": ""}
    rows = parsed(*map(marked, TEXTS))
    scores = taught.task.score(taught.judge(rows), rows)
    assert scores["span_f1"] > 0.95 and scores["loss"] < 0.05


def test_offsets_are_those_of_the_text_as_it_was_given(taught: Predictor) -> None:
    """Cleaning would shorten this text: runs, spaces, what cannot be seen, a link."""
    text = "\u200b 昨天  马跃从\u3000拉萨回来了！！！！！！"
    (answer,) = taught.predict([text])
    assert all(text[span.start : span.end] == span.text for span in answer.spans)
    assert {span.text for span in answer.spans} >= {"拉萨"}


def test_a_text_of_many_windows_is_read_to_its_end(taught: Predictor) -> None:
    text = "今天不想出门。" * 60 + "昨天马跃从拉萨回来了"
    (answer,) = taught.predict([text])
    assert answer.notice is None
    assert [span.text for span in answer.spans if span.start >= 420] == ["马跃", "拉萨"]


def test_a_space_an_emoji_and_nothing_have_an_answer(taught: Predictor) -> None:
    blank, nothing, emoji = taught.predict([" \n", "", "😀"])
    assert blank == nothing == taught.task.blank_answer() and blank.notice
    assert emoji.spans == () and emoji.notice is None


def test_the_loss_is_the_mean_over_tags_of_the_whole_batch(taught: Predictor) -> None:
    rows = parsed(*map(marked, TEXTS[:6] + TEXTS[-2:]))
    features = taught.task.encode(rows, taught.tokenizer, 64)
    with torch.inference_mode():
        whole = taught.task.loss(taught.model, taught.task.collate(features, taught.tokenizer))
        alone = [taught.task.loss(taught.model, taught.task.collate([one], taught.tokenizer)) for one in features]
    weights = [taught.task.weight(one) for one in features]
    assert weights == [len(row.text) for row in rows]
    mean = sum(weight * float(loss) for weight, loss in zip(weights, alone, strict=True)) / sum(weights)
    assert float(whole) == pytest.approx(mean, abs=1e-5)
    outputs = taught.judge(rows)
    assert taught.task.score(outputs, rows)["loss"] == pytest.approx(mean, abs=1e-4)


def test_word_pieces_are_cut_only_when_asked() -> None:
    from transformers import AutoTokenizer

    from qingtiao.models.base import locate

    words = AutoTokenizer.from_pretrained(locate("mini-zh"))
    rows = parsed({"text": "我们在北京大学门口", "entities": [{"start": 3, "end": 5, "label": "地名"}]})
    by_character = Task.fit(rows, TokenOptions()).encode(rows, words, 64)[0]
    pieces = Task.fit(rows, TokenOptions(units="pieces")).encode(rows, words, 64)[0]
    assert [tag for tag in by_character["labels"] if tag >= 0] == [0, 0, 0, 1, 2, 0, 0, 0, 0]
    # 北京大学 is one piece, of which half is marked: it is the mark's, whose end is then two characters too far.
    assert [(start, tag) for start, tag in zip(pieces["starts"], pieces["labels"], strict=True) if tag > OUTSIDE] == [
        (3, 1)
    ]


def test_labels_can_be_named_and_unknown_ones_are_told_with_their_place() -> None:
    given = {"tokens": ["北", "京", "人"], "tags": ["B-LOC", "I-LOC", "O"]}
    (row,) = parsed(given, options=TokenOptions(label_names={"LOC": "地名"}))
    assert marks_of(row) == (Mark(0, 2, "地名", "北京"),)
    task = Task.fit([row], TokenOptions())
    assert task.labels == ("地名",)
    assert task.model_options()["id2label"] == {0: "O", 1: "B-地名", 2: "I-地名"}
    with pytest.raises(DataError, match=r"memory:1.*LOC"):
        task.check(parsed(given))


def test_rows_without_a_mark_cannot_be_learnt_from() -> None:
    with pytest.raises(DataError, match="没有标出"):
        Task.fit(parsed({"text": "今天不想出门", "entities": []}), TokenOptions())


def test_a_state_of_no_or_double_labels_is_refused() -> None:
    for entities in ([], ["人名", "人名"], [1]):
        with pytest.raises(ValueError, match="different names"):
            Task.from_state({"entities": entities, "options": {}})


def test_the_samples_bear_three_kinds_and_some_none() -> None:
    rows = parsed(*Task.samples)
    assert len(rows) == 30
    assert Task.fit(rows, TokenOptions()).entities == ("人名", "地名", "机构")
    assert sum(not marks_of(row) for row in rows) == 2
    assert all(row.text[mark.start : mark.end] == mark.text for row in rows for mark in marks_of(row))


def test_the_page_shows_marks_inside_the_text(taught: Predictor) -> None:
    pytest.importorskip("gradio", reason="the web page needs qingtiao[app]")
    from qingtiao.serve.shown import shown_as

    shown = shown_as(taught.task)
    given = {"text": "昨天马跃从拉萨回来了😀"}
    component = shown.component()
    told = component.postprocess(shown.value(taught.predict([given])[0], given))
    assert [(one.token, one.class_or_confidence) for one in told.root if one.class_or_confidence] == [
        ("马跃", "人名"),
        ("拉萨", "地名"),
    ]
    assert "".join(one.token for one in told.root) == given["text"]
    empty = component.postprocess(shown.value(taught.predict([""])[0], {"text": ""}))
    assert [one.class_or_confidence for one in empty.root] == [None]


# --- the baseline ---------------------------------------------------------------------------------


def test_the_dictionary_knows_what_it_saw_the_longest_first() -> None:
    rows = parsed(
        {"text": "他在北京大学", "entities": [{"start": 2, "end": 6, "label": "机构"}]},
        {"text": "北京很大", "entities": [{"start": 0, "end": 2, "label": "地名"}]},
        {"text": "中国队赢了", "entities": [{"start": 0, "end": 1, "label": "地名"}]},
        {"text": "中午在家中看书", "entities": []},
    )
    (baseline,) = Task.fit(rows, TokenOptions()).baselines(rows, seed=1).values()
    (answer,) = baseline(parsed({"text": "从北京到北京大学，中午", "entities": []}))
    # 中 was marked in one of its three places: no entry.
    assert answer == Spans((Span(1, 3, "地名", "北京"), Span(4, 8, "机构", "北京大学")))
    assert Dictionary.fit([], []).find("北京") == ()


# --- real data ------------------------------------------------------------------------------------


def test_real_tags_come_back_from_their_own_pieces() -> None:
    """Gold tags of real text, through characters and back, lose nothing; through words they lose some."""
    import gzip

    from transformers import AutoTokenizer

    from qingtiao.models.base import locate
    from qingtiao.spans import SPAN_MEASURES, counts, marks_of_tags

    path = Path(os.environ.get("QINGTIAO_BENCHMARK_DATA", "")) / "msra_ner" / "train.jsonl.gz"
    if not path.is_file():
        pytest.skip("QINGTIAO_BENCHMARK_DATA is not set or holds no msra_ner/")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = parsed(*(json.loads(line) for line, _ in zip(lines, range(300), strict=False)))
    words = AutoTokenizer.from_pretrained(locate("mini-zh"))
    reached = {}
    for units in ("characters", "pieces"):
        task = Task.fit(rows, TokenOptions(units=units))
        found = []
        for feature, row in zip(task.encode(rows, words, 512), rows, strict=True):
            begun = [at for at, start in enumerate(feature["starts"]) if start >= 0]
            tags, starts = ([feature[name][at] for at in begun] for name in ("labels", "starts"))
            found.append(marks_of_tags(tags, starts, row.text, task.entities))
        sums = counts(found, [marks_of(row) for row in rows], task.entities)
        reached[units] = SPAN_MEASURES[0].value(np.asarray(sums))
    assert reached["characters"] == 1.0
    assert 0.9 < reached["pieces"] < 1.0
