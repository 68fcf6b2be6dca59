"""Keywords as they stand in files, which of them are the same, where they stand in a text, how they are counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qingtiao.answers import Keywords
from qingtiao.errors import DataError
from qingtiao.evaluate.phrases import KnownPhrases, PhraseRanker
from qingtiao.keyphrases import (
    KEYWORD_MEASURES,
    counts,
    distinct,
    folded,
    keyword_baselines,
    normal_form,
    occurrences,
    read_keywords,
)
from qingtiao.types import Place, Record, Row


def rows(*fields: dict[str, Any], labelled: bool = True, **columns: str) -> list[Row]:
    records = [Record(one, Place("memory", number)) for number, one in enumerate(fields, start=1)]
    return read_keywords(records, columns=columns, labelled=labelled)


def row(*target: str) -> Row:
    return Row("", target, Place("memory", 1))


@pytest.mark.parametrize(
    "cell",
    [
        ["深度学习", "图像分割"],
        json.dumps(["深度学习", "图像分割"], ensure_ascii=False),
        "深度学习、图像分割",
        "深度学习; 图像分割；深度学习",
        "深度学习 | 图像分割 |",
        "深度学习，图像分割",
    ],
)
def test_cells_say_the_same(cell: Any) -> None:
    (read,) = rows({"text": "略", "keywords": cell})
    assert read.target == ("深度学习", "图像分割")


def test_a_phrase_of_latin_words_stays_whole_and_none_is_allowed() -> None:
    read = rows({"abstract": "略", "关键词": "support vector machine, SVM"}, {"abstract": "略", "关键词": None})
    assert [one.target for one in read] == [("support vector machine", "SVM"), ()]


def test_columns_may_be_named_and_targets_left_out() -> None:
    (read,) = rows({"甲": "正文", "乙": "词"}, text="甲", keywords="乙")
    assert (read.text, read.target) == ("正文", ("词",))
    (bare,) = rows({"text": "正文"}, labelled=False)
    assert bare.target is None
    with pytest.raises(DataError, match="关键词列"):
        rows({"text": "正文", "甲": "词"})


@pytest.mark.parametrize("cell", [7, {"a": 1}, ["词", 3]])
def test_what_holds_no_keywords_is_told_with_its_place(cell: Any) -> None:
    with pytest.raises(DataError, match=r"memory:2.*关键词"):
        rows({"text": "略", "keywords": []}, {"text": "略", "keywords": cell})


def test_width_case_and_spaces_make_no_other_keyword() -> None:
    assert normal_form(" Ｄeep  Learning ") == normal_form("deeplearning")
    assert distinct([" 神经 网络", "神经网络", "", " ", "ＬＳＴＭ", "lstm"]) == ("神经 网络", "ＬＳＴＭ")
    text = "ＡＢ㎡ß😀İ"
    assert len(folded(text)) == len(text)
    assert folded(text).startswith("ab㎡")


def test_keywords_are_found_where_they_stand_the_longest_first() -> None:
    text = "ＢＥＲＴ模型和albert，卷积神经网络、神经网络。"
    found = occurrences(text, ["bert", "神经网络", "卷积神经网络", "决策树"])
    assert [(mark.start, mark.text) for mark in found] == [(0, "ＢＥＲＴ"), (14, "卷积神经网络"), (21, "神经网络")]
    assert all(text[mark.start : mark.end] == mark.text for mark in found)
    assert occurrences("什么也没有", []) == ()


def test_scores_by_hand() -> None:
    """3 of 5 said are right, of 4 wanted."""
    table = counts([["甲", "乙", "Ａ"], ["丁", "戊"]], [row("甲", "a", "丙"), row("丁")])
    values = {measure.name: measure.value(table) for measure in KEYWORD_MEASURES}
    assert values["precision_at_k"] == pytest.approx(3 / 5)
    assert values["recall_at_k"] == pytest.approx(3 / 4)
    assert values["f1_at_k"] == pytest.approx(2 * 3 / 9)
    assert values["f1_by_text"] == pytest.approx((2 * 2 / 6 + 2 * 1 / 3) / 2)
    assert KEYWORD_MEASURES[0].value(counts([[]], [row()])) == 1.0


def test_telling_phrases_are_frequent_here_and_rare_elsewhere() -> None:
    texts = ["本文研究天气", "本文研究交通", "本文研究教育", "卷积网络很快，卷积网络很小，本文研究卷积网络"]
    ranked = PhraseRanker.fit(texts).rank(texts[-1], most=3)
    assert ranked[0][0] == "卷积网络"
    assert [weight for _, weight in ranked] == sorted((weight for _, weight in ranked), reverse=True)
    # No phrase begins or ends with a word of grammar, and nothing is no phrase.
    assert all(phrase[0] not in "的了和" for phrase, _ in PhraseRanker.fit(texts).rank("的快的和好了", most=9))
    assert PhraseRanker.fit([]).rank("", most=3) == []


def test_known_keywords_rank_by_how_often_they_were_ones() -> None:
    texts = ["研究神经网络", "研究神经网络", "研究天气", "研究研究"]
    known = KnownPhrases.fit(texts, [["神经网络"], ["神经网络"], ["天气", "研究"], []])
    assert known.rank("研究天气和神经网络", most=2) == [("神经网络", 2 / 3), ("天气", 1 / 2)]
    assert KnownPhrases.fit([], []).rank("天气", most=2) == []


def test_the_baselines_answer_in_kind() -> None:
    taught = [Row("研究神经网络", ("神经网络",), Place("memory", 1))]
    baselines = keyword_baselines(taught, most=2)
    assert set(baselines) == {"phrases", "dictionary"}
    (known,) = baselines["dictionary"](taught)
    assert known == Keywords(("神经网络",), (0.5,))
    (phrases,) = baselines["phrases"](taught)
    assert len(phrases.keywords) == 2 == len(phrases.scores)
