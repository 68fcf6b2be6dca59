"""Keywords beyond the contract: which are given, in what order, how many, out of texts of any length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from bases import save_base

from qingtiao.config import NormaliseConfig
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.keyphrases import occurrences
from qingtiao.models.base import load_base
from qingtiao.predict import Predictor
from qingtiao.spans import likely_spans
from qingtiao.tasks.keywords import KeywordOptions, Task
from qingtiao.types import Place, Record, Row

TOPICS = ("水稻", "光伏", "皮影戏", "近视", "冷链运输")
TEXTS = [f"{opening}{topic}的办法" for topic in TOPICS for opening in ("本文介绍", "我们比较了", "说说")]


def parsed(*fields: Mapping[str, Any]) -> list[Row]:
    records = [Record(one, Place("memory", number)) for number, one in enumerate(fields, start=1)]
    return Task.parse(records, options=KeywordOptions(), columns={}, labelled=True)


ROWS = parsed(*({"text": text, "keywords": [topic for topic in TOPICS if topic in text]} for text in TEXTS))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A tiny encoder that knows five topics by heart."""
    folder = tmp_path_factory.mktemp("base")
    save_base(folder, Task.auto_class, TEXTS)
    task = Task.fit(ROWS, KeywordOptions())
    base = load_base(
        str(folder),
        revision=None,
        auto_class=Task.auto_class,
        processor_class=Task.processor_class,
        model_options=task.model_options(),
    )
    model = base.model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batch = task.collate(task.encode(ROWS, base.tokenizer, 64), base.tokenizer)
    for _ in range(60):
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05
    normaliser = Normaliser(NormaliseConfig())
    predictor = Predictor(task, model, base.tokenizer, normaliser, 64, torch.device("cpu"), "fp32")
    return replace(predictor, task=task.tune(predictor.judge(ROWS), ROWS))


def table_of(begins: list[float], inside: list[float]) -> np.ndarray:
    """A table whose pieces are single characters with these probabilities of B and I."""
    shares = np.stack([1 - np.array(begins) - np.array(inside), begins, inside], axis=1)
    return np.concatenate([np.ones((len(begins), 1)), np.log(shares)], axis=1).astype(np.float32)


def test_what_was_learnt_is_given(taught: Predictor) -> None:
    answer, other = taught.predict(["说说皮影戏的办法", "本文介绍水稻的办法"])
    assert answer.keywords == ("皮影戏",) and answer.scores[0] > 0.9
    assert other.headline == "水稻"
    assert taught.task.score(taught.judge(ROWS), ROWS)["f1_at_k"] > 0.95
    assert taught.task.labels == ()


def test_the_threshold_is_the_one_with_the_best_f1(taught: Predictor) -> None:
    outputs = taught.judge(ROWS)
    best = taught.task.score(outputs, ROWS)["f1_at_k"]
    assert 0 < taught.task.threshold <= 1
    for threshold in (0.0, 0.01, 0.1, 0.5, 0.9, 1.0):
        assert replace(taught.task, threshold=threshold).score(outputs, ROWS)["f1_at_k"] <= best + 1e-12
    # With nothing right there is nothing to go by.
    wrong = [replace(row, target=("别的",)) for row in ROWS]
    assert taught.task.tune(outputs, wrong).threshold == taught.task.threshold


def test_every_likely_span_bears_the_product_of_its_tags() -> None:
    found = {
        mark.text: share for mark, share in likely_spans(table_of([0.8, 0.1, 0.05], [0.1, 0.6, 0.1]), "神经网", "KEY")
    }
    assert found == pytest.approx(
        {
            "神": 0.8 * 0.4,
            "神经": 0.8 * 0.6 * 0.9,
            "神经网": 0.8 * 0.6 * 0.1,
            "经": 0.1 * 0.9,
            "经网": 0.1 * 0.1,
            "网": 0.05,
        },
        rel=1e-4,
    )


def test_several_places_make_a_keyword_likelier_and_it_is_given_once() -> None:
    task = Task(KeywordOptions(top=2))
    table = table_of([0.5, 0.01, 0.01, 0.5, 0.01, 0.9], [0.05, 0.9, 0.01, 0.05, 0.9, 0.01])
    row = Row("ＡＩ、ai是", None, Place("memory", 1))
    (answer,) = task.decode([table], [row], None)
    # 0.5 x 0.9 x 0.99 in two places: 1 - (1 - 0.4455)², spelt as it stands first; 是 0.9 comes before it.
    assert answer.keywords == ("是", "ＡＩ")
    assert answer.scores == pytest.approx((0.9, 1 - (1 - 0.4455) ** 2), abs=1e-3)
    (one,) = replace(task, options=KeywordOptions(top=1)).decode([table], [row], None)
    assert one.keywords == ("是",)
    (none,) = replace(task, threshold=0.95).decode([table], [row], None)
    assert none.keywords == () and none.headline == "—"


def test_a_text_of_many_windows_is_read_to_its_end(taught: Predictor) -> None:
    (answer,) = taught.predict(["我们比较了本文的办法。" * 40 + "说说光伏的办法"])
    assert answer.notice is None
    assert "光伏" in answer.keywords


def test_keywords_that_stand_nowhere_are_missed_not_refused(taught: Predictor) -> None:
    rows = parsed({"text": "说说水稻的办法", "keywords": ["水稻", "农业"]})
    taught.task.check(rows)
    table = taught.task.measure(taught.predict([rows[0].text]), rows)["recall_at_k"]
    assert Task.measures[2].value(table) == 0.5
    with pytest.raises(DataError, match="没有一个关键词"):
        Task.fit(parsed({"text": "今天下雨", "keywords": ["农业"]}), KeywordOptions())


def test_a_state_with_an_impossible_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Task.from_state({"threshold": 1.5, "options": {}})


def test_the_samples_bear_keywords_most_of_which_stand_in_their_text() -> None:
    rows = parsed(*Task.samples)
    wanted = [(row, word) for row in rows for word in row.target]
    assert (len(rows), len(wanted)) == (26, 80)
    assert sum(not occurrences(row.text, [word]) for row, word in wanted) == 4
