"""Marks as people write them: tags of several schemes, offsets, tables; and every way they can be wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qingtiao.data.marks import Mark, marks_of, read_marked, spans_of_tags
from qingtiao.errors import DataError
from qingtiao.types import Place, Record, Row


def rows(*fields: dict[str, Any], labelled: bool = True, **columns: str) -> list[Row]:
    records = [Record(one, Place("data.jsonl", number)) for number, one in enumerate(fields, 1)]
    return read_marked(records, columns=columns, labelled=labelled)


SCHEMES = {
    "BIO": "O B-PER I-PER I-PER O B-LOC B-LOC I-LOC",
    "BIOES": "O B-PER I-PER E-PER O S-LOC B-LOC E-LOC",
    "BMES": "O B-PER M-PER E-PER O S-LOC B-LOC E-LOC",
    "BILOU": "O B-PER I-PER L-PER O U-LOC B-LOC L-LOC",
}


@pytest.mark.parametrize("tags", SCHEMES.values(), ids=SCHEMES)
def test_schemes_say_the_same(tags: str) -> None:
    assert spans_of_tags(tags.split()) == [(1, 4, "PER"), (5, 6, "LOC"), (6, 8, "LOC")]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("PER PER O LOC", [(0, 2, "PER"), (3, 4, "LOC")]),  # IO, bare
        ("I-PER I-PER O I-LOC", [(0, 2, "PER"), (3, 4, "LOC")]),  # IO
        ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),
        ("E-PER I-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("B I O B", [(0, 2, "SPAN"), (3, 4, "SPAN")]),
        ("O O", []),
        ("", []),
    ],
)
def test_odd_tags_are_read_as_conlleval_does(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert spans_of_tags(tags.split()) == spans


def test_tokens_with_tags_and_text_with_offsets_are_one() -> None:
    (tagged,) = rows({"tokens": list("李雷在北京"), "ner_tags": ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]})
    (offsets,) = rows(
        {
            "text": "李雷在北京",
            "entities": [{"start": 3, "end": 5, "label": "LOC"}, {"start": 0, "end": 2, "label": "PER"}],
        }
    )
    assert tagged == offsets
    assert tagged.target == (Mark(0, 2, "PER", "李雷"), Mark(3, 5, "LOC", "北京"))
    assert str(tagged.target[0]) == "李雷/PER"


@pytest.mark.parametrize(
    "cell",
    [
        [[3, 5, "LOC"]],
        [[3, 5, "LOC", "北京"]],
        '[[3, 5, "LOC"]]',
        [{"start_offset": 3, "end_offset": 5, "type": "LOC", "text": "北京"}],
        ["O", "O", "O", "B-LOC", "I-LOC"],
        "O O O B-LOC I-LOC",
    ],
)
def test_other_ways_of_writing(cell: Any) -> None:
    assert rows({"text": "李雷在北京", "label": cell})[0].target == (Mark(3, 5, "LOC", "北京"),)


def test_columns_may_be_named() -> None:
    (row,) = rows({"s": "在北京", "text": "别的", "m": [[1, 3, "LOC"]]}, text="s", entities="m")
    assert (row.text, row.target) == ("在北京", (Mark(1, 3, "LOC", "北京"),))
    (row,) = rows({"字": list("在北京"), "x": ["O", "B-LOC", "I-LOC"]}, label="x")
    assert row.target == (Mark(1, 3, "LOC", "北京"),)


def test_words_keep_apart_where_they_would_grow_together() -> None:
    (row,) = rows({"tokens": ["用", "Visual", "Studio", "写", "C", "+", "+"], "tags": "O B-X I-X O B-Y I-Y I-Y"})
    assert row.text == "用Visual Studio写C++"
    assert row.target == (Mark(1, 14, "X", "Visual Studio"), Mark(15, 18, "Y", "C++"))
    assert rows({"tokens": list("在GPU上"), "tags": "O B-X I-X I-X O"})[0].text == "在GPU上"


def test_without_targets_one_row_a_record_and_no_marks_looked_for() -> None:
    assert [(row.text, row.target) for row in rows({"text": "在北京"}, {"text": None}, labelled=False)] == [
        ("在北京", None),
        ("", None),
    ]
    assert rows({"tokens": list("在北京"), "tags": 3}, labelled=False)[0].text == "在北京"
    assert rows() == []


def test_marks_come_back_from_json() -> None:
    (row,) = rows({"text": "在北京", "entities": [[1, 3, "LOC"]]})
    again = Row(row.text, json.loads(json.dumps(row.target)), row.place)
    assert marks_of(again) == row.target
    assert rows({"text": row.text, "label": json.dumps(row.target)})[0].target == row.target  # as `audit --fix` writes
    assert marks_of(row.unanswered()) == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "在北京", "entities": [[1, 9, "LOC"]]}, "1–9"),
        ({"text": "在北京", "entities": [[2, 2, "LOC"]]}, "2–2"),
        ({"text": "在北京", "entities": [[-1, 2, "LOC"]]}, "-1–2"),
        ({"text": "在北京", "entities": [[1, 3, ""]]}, "start、end、label"),
        ({"text": "在北京", "entities": [[1.0, 3, "LOC"]]}, "start、end、label"),
        ({"text": "在北京", "entities": [[True, 3, "LOC"]]}, "start、end、label"),
        ({"text": "在北京", "entities": [7]}, "start、end、label"),
        ({"text": "在北京", "entities": {"LOC": [[1, 3]]}}, "不是列表"),
        ({"text": "在北京", "entities": "[[1, 3"}, "不是 JSON"),
        ({"text": "在北京市", "entities": [[1, 3, "LOC"], [1, 4, "LOC"]]}, "重叠"),
        ({"text": "在北京", "entities": [[1, 3, "LOC", "南京"]]}, "南京"),
        ({"text": "在北京", "entities": [[1, 2, "LOC", "北京"]]}, "都加 1"),
        ({"text": "在北京", "tags": "O B-LOC"}, "3 个字（词），却有 2 个标签"),
        ({"tokens": list("在北京"), "tags": ["O", "B-LOC"]}, "3 个字（词），却有 2 个标签"),
        ({"tokens": ["在", ""], "tags": ["O", "O"]}, "tokens"),
        ({"tokens": ["在", "北"], "tags": [0, 1]}, "不是标签名"),
        ({"tokens": 5, "tags": []}, "不是列表"),
        ({"text": "在北京", "other": 1}, "entities"),
        ({"tokens": ["在"], "other": 1}, "tags"),
        ({"other": 1}, "文本列"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        rows(fields)
    assert message in str(refused.value)
    assert "data.jsonl" in str(refused.value)
