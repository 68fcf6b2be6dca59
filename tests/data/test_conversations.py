"""Records of every usual shape, read as conversations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qingtiao.data.conversations import conversation_rows, messages_of
from qingtiao.errors import DataError
from qingtiao.types import Place, Record, Row

MESSAGES = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "你好！"},
    {"role": "user", "content": "冷吗"},
    {"role": "assistant", "content": "冷"},
]
SHARED = [
    {"from": "human", "value": "你好"},
    {"from": "gpt", "value": "你好！"},
    {"from": "human", "value": "冷吗"},
    {"from": "gpt", "value": "冷"},
]
SHAPES: dict[str, dict[str, Any]] = {
    "messages": {"messages": MESSAGES},
    "ShareGPT": {"conversations": SHARED},
    "JSON in a cell": {"messages": json.dumps(MESSAGES, ensure_ascii=False)},
    "pairs": {"dialogue": [["你好", "你好！"], ["冷吗", "冷"]]},
    "question, answer, history": {"question": "冷吗", "answer": "冷", "history": [["你好", "你好！"]]},
    "Chinese names": {"指令": "冷吗", "回答": "冷", "历史对话": MESSAGES[:2]},
    "a whole conversation beside other columns": {"messages": MESSAGES, "question": "别的", "answer": "别的"},
}


def read(
    *records: dict[str, Any], labelled: bool = True, system: str = "", columns: dict[str, str] | None = None
) -> list[Row]:
    placed = [Record(fields, Place("chat.jsonl", number)) for number, fields in enumerate(records, start=1)]
    return conversation_rows(placed, columns=columns or {}, system=system, labelled=labelled)


def test_there_are_seven_shapes() -> None:
    assert len(SHAPES) == 7


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_the_same_conversation(shape: str) -> None:
    (row,) = read(SHAPES[shape])
    assert messages_of(row) == MESSAGES[:3]
    assert tuple(row.target) == ("冷",)
    assert row.text == "你好\n你好！\n冷吗"


@pytest.mark.parametrize("shape", SHAPES)
def test_without_targets_there_is_still_a_row_for_each_record(shape: str) -> None:
    (row,) = read(SHAPES[shape], labelled=False)
    assert row.target is None
    assert messages_of(row) == MESSAGES[:3]


def test_an_instruction_and_its_input_are_one_question() -> None:
    rows = read(
        {"instruction": "翻译成英文", "input": "我很高兴", "output": "I am happy."},
        {"instruction": "讲个笑话", "input": "", "output": "好。"},
        {"input": "只有输入", "output": "也行"},
    )
    assert [row.text for row in rows] == ["翻译成英文\n我很高兴", "讲个笑话", "只有输入"]


def test_a_system_prompt_is_kept_and_one_is_given_where_there_is_none() -> None:
    own, default = read(
        {"question": "问", "answer": "答", "system": "短"},
        {"question": "问", "answer": "答", "system": ""},
        system="长",
    )
    assert [messages_of(row)[0] for row in (own, default)] == [
        {"role": "system", "content": "短"},
        {"role": "system", "content": "长"},
    ]
    assert own.text == default.text == "问"  # duplicates are judged without it


def test_turns_are_put_in_order() -> None:
    said = [
        {"role": "assistant", "content": "开场白没人问"},
        {"role": "user", "content": "第一句"},
        {"role": "user", "content": "第二句"},
        {"role": "assistant", "content": "回答"},
        {"role": "user", "content": "没人答"},
    ]
    (row,) = read({"messages": said})
    assert messages_of(row) == [{"role": "user", "content": "第一句\n第二句"}]
    assert tuple(row.target) == ("回答",)
    (asked,) = read({"messages": said}, labelled=False)
    assert [turn["content"] for turn in messages_of(asked)] == ["第一句\n第二句", "回答", "没人答"]


def test_columns_can_be_named() -> None:
    (row,) = read({"a": "问", "b": "答", "question": "别的"}, columns={"question": "a", "answer": "b"})
    assert (row.text, tuple(row.target)) == ("问", ("答",))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"question": "问", "answer": ""}, "第 2 句是空的"),
        ({"question": "", "answer": "答"}, "第 1 句是空的"),
        ({"messages": [{"role": "user", "content": "问"}]}, "没有回答"),
        ({"messages": []}, "不是对话"),
        ({"messages": "不是 JSON"}, "不是对话"),
        ({"messages": [{"role": "tool", "content": "1"}, *MESSAGES]}, "不是对话"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "不是对话"),
        ({"messages": {"role": "user"}}, "不是对话"),
        ({"question": ["问"], "answer": "答"}, "不是对话"),
        ({"question": "问", "score": 1}, "回答列"),
        ({"甲": "问", "乙": "答"}, "问题列"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as told:
        read({"question": "问", "answer": "答"} if "messages" not in fields else {"messages": MESSAGES}, fields)
    assert "chat.jsonl:2" in told.value.zh


def test_all_incomplete_ones_are_told_at_once_or_left_out() -> None:
    bad = {"messages": [{"role": "user", "content": "问"}]}
    records = [{"messages": MESSAGES}, *[bad] * 7, {"messages": [*MESSAGES, {"role": "user", "content": ""}]}]
    with pytest.raises(DataError, match="9 段对话里有 7 段") as told:
        read(*records)
    assert told.value.zh.count("chat.jsonl:") == 5
    placed = [Record(fields, Place("chat.jsonl", number)) for number, fields in enumerate(records, start=1)]
    rows = conversation_rows(placed, columns={}, system="", labelled=True, drop_incomplete=True)
    assert [row.place.row for row in rows] == [1, 9]
    assert len(conversation_rows(placed, columns={}, system="", labelled=False, drop_incomplete=True)) == 9


def test_nothing_asked_is_a_row_without_text() -> None:
    (row,) = read({"question": "  "}, labelled=False)
    assert row.text == ""
