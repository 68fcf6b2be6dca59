"""Chat: what is learnt, what is measured, and what it is measured against. The contract tests the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from templates import FAMILIES, byte_tokenizer

from qingtiao.answers import Text
from qingtiao.errors import DataError
from qingtiao.evaluate.judging import block_of, report_of
from qingtiao.evaluate.report import About
from qingtiao.evaluate.retrieval import most_similar
from qingtiao.models.causal import IGNORED
from qingtiao.tasks.chat import ChatOptions, Task
from qingtiao.types import Place, Record, Row

TALK = {
    "messages": [
        {"role": "user", "content": "你好，今天冷吗？"},
        {"role": "assistant", "content": "有点冷。"},
        {"role": "user", "content": "谢谢！"},
        {"role": "assistant", "content": "不客气。"},
    ]
}
PLAIN = [{"question": f"第{n}个问题是什么", "answer": f"回答{n}"} for n in range(4)]


def rows(*records: dict[str, Any], labelled: bool = True) -> list[Row]:
    placed = [Record(one, Place("chat", number)) for number, one in enumerate(records, 1)]
    return Task.parse(placed, options=ChatOptions(), columns={}, labelled=labelled)


def task_of(**options: Any) -> Task:
    return Task(ChatOptions(**options))


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "head_dim": 16}
    vocabulary = len(byte_tokenizer())
    config = Qwen3Config(vocab_size=vocabulary, num_attention_heads=2, num_key_value_heads=1, **sizes)
    return Qwen3ForCausalLM(config).eval()


@pytest.mark.parametrize("family", [*FAMILIES, "none"])
def test_labels_are_the_answers_whatever_the_template(family: str) -> None:
    tokenizer = byte_tokenizer(FAMILIES[family].template if family in FAMILIES else None)
    (feature,) = task_of().encode(rows(TALK), tokenizer, 1024)
    learnt = [label for label in feature["labels"] if label != IGNORED]
    end = FAMILIES[family].end if family in FAMILIES else "</s>"
    before = FAMILIES[family].before if family in FAMILIES else ""
    assert tokenizer.decode(learnt) == f"{before}有点冷。{end}{before}不客气。{end}"
    assert all(label in (token, IGNORED) for label, token in zip(feature["labels"], feature["input_ids"], strict=True))
    assert task_of().weight(feature) == len(learnt)


@pytest.mark.parametrize("family", [*FAMILIES, "none"])
def test_the_loss_is_that_of_transformers_and_questions_are_no_part_of_it(model: Any, family: str) -> None:
    tokenizer = byte_tokenizer(FAMILIES[family].template if family in FAMILIES else None)
    given = rows(TALK, *PLAIN[:1])
    batch = task_of().collate(task_of().encode(given, tokenizer, 1024), tokenizer)
    with torch.inference_mode():
        ours, outputs = float(task_of().loss(model, batch)), task_of().judge(model, batch)
        assert ours == pytest.approx(float(model(**batch).loss), abs=1e-5)
    assert ours == pytest.approx(task_of().score(outputs, given)["loss"], abs=1e-5)
    assert [len(output) for output in outputs] == [
        task_of().weight(f) for f in task_of().encode(given, tokenizer, 1024)
    ]


def test_perplexity_is_over_tokens_not_over_rows() -> None:
    outputs = [np.log(np.full(n, p, dtype=np.float32)) for n, p in ((1, 0.5), (3, 0.25))]
    given = rows(*PLAIN[:2])
    assert task_of().score(outputs, given)["perplexity"] == pytest.approx(2 ** (7 / 4), rel=1e-5)
    (measure,) = Task.forced
    assert measure.value(task_of().measure_outputs(outputs, given)["perplexity"]) == pytest.approx(
        2 ** (7 / 4), rel=1e-5
    )


def test_an_answer_of_which_nothing_is_left_weighs_nothing() -> None:
    (feature,) = task_of().encode(rows(TALK), byte_tokenizer(), 16)
    assert feature["cut"] and task_of().weight(feature) == 0


def test_a_prompt_leaves_room_for_the_answer_and_an_error_tells_its_row() -> None:
    tokenizer = byte_tokenizer()
    (feature,) = task_of(max_new_tokens=30).encode(rows({"question": "长" * 90}, labelled=False), tokenizer, 128)
    assert feature["cut"] and len(feature["input_ids"]) <= 128 - feature["new_tokens"] == 98
    (feature,) = task_of().encode(rows({"question": "短"}, labelled=False), tokenizer, 128)
    assert not feature["cut"] and feature["new_tokens"] == 64
    with pytest.raises(DataError, match=r"chat:1"):
        task_of().encode(rows({"question": "问", "system": "长" * 90}, labelled=False), tokenizer, 128)


def test_the_nearest_question_is_found() -> None:
    nearest = most_similar(["怎么养绿萝", "怎么煮米饭", "去哪里爬山"])
    assert nearest(["米饭怎么煮才软", "哪里可以爬山", "绿萝", "xyz"]) == [1, 2, 0, 0]
    assert most_similar(["", " "])(["问"]) == [0]


def test_the_report_sets_the_base_beside_and_retrieval_where_it_can_be_measured() -> None:
    given = rows(*PLAIN)
    outputs = {
        name: [np.full(4, value, dtype=np.float32) for _ in given] for name, value in (("adapter", -1), ("base", -3))
    }
    report = report_of(
        task_of(),
        given,
        [Text(row.target[0]) for row in given],
        clean={row.place for row in given},
        baselines={"retrieval": [Text("回答") for _ in given]},
        about=About(),
        seed=1,
        forced=outputs,
    ).as_json()
    assert report["test"]["perplexity"] == pytest.approx(np.e)
    assert report["baselines"]["base"]["test"]["perplexity"] == pytest.approx(np.e**3)
    assert "perplexity" not in report["baselines"]["retrieval"]["test"]
    assert report["baselines"]["retrieval"]["test"]["rouge_l"] < report["test"]["rouge_l"] == 1
    assert report["verdict"]["against"] == "base"


def test_evaluating_without_likelihoods_still_measures_what_is_said() -> None:
    given = rows(*PLAIN)
    block = block_of(task_of(), given, [Text(row.target[0]) for row in given])
    assert block["rouge_l"] == 1 and "perplexity" not in block
