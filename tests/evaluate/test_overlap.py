"""ROUGE, BLEU and chrF as sums over rows give what sacrebleu and the plain definitions give."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from qingtiao.evaluate.measures import interval
from qingtiao.evaluate.overlap import (
    OVERLAP,
    bleu_of,
    bleu_rows,
    chrf_of,
    chrf_rows,
    overlap_rows,
    rouge_rows,
    units,
    words_of,
)

ANSWERS = ["今天天气很好", "他去了学校", "我不知道，你呢？", "", "三只猫在屋顶上睡觉", "CNN 网络"]
REFERENCES = [
    ["今天的天气很好", "今天天气真好"],
    ["他上学去了"],
    ["我不知道。你知道吗？", "我不清楚", "你呢？我不知道。"],
    ["空的"],
    ["屋顶上有三只猫在睡觉"],
    ["基于 CNN 的网络"],
]
ENGLISH = ["The cat sat on the mat.", "He didn't go, I think."]
ENGLISH_REFERENCES = [["The cat is on the mat."], ["I don't think he went.", "He did not go, I think."]]


def _columns(references: list[list[str]]) -> list[list[str | None]]:
    """sacrebleu wants references by number, None where a row has fewer."""
    most = max(map(len, references))
    return [[row[i] if i < len(row) else None for row in references] for i in range(most)]


@pytest.mark.parametrize(
    ("answers", "references", "words"), [(ANSWERS, REFERENCES, "zh"), (ENGLISH, ENGLISH_REFERENCES, "13a")]
)
def test_bleu_and_chrf_of_the_sums_are_those_of_sacrebleu(answers, references, words):
    answers, references = [a.lower() for a in answers], [[r.lower() for r in row] for row in references]
    answers = [a.replace("，", ",").replace("？", "?") for a in answers]
    references = [[r.replace("，", ",").replace("？", "?") for r in row] for row in references]
    theirs = BLEU(tokenize=words).corpus_score(answers, _columns(references)).score
    assert theirs > 5
    assert 100 * bleu_of(bleu_rows(answers, references, words=words).sum(axis=0)) == pytest.approx(theirs, abs=1e-9)
    theirs = CHRF().corpus_score(answers, _columns(references)).score
    assert theirs > 5
    assert 100 * chrf_of(chrf_rows(answers, references).sum(axis=0)) == pytest.approx(theirs, abs=1e-9)


def test_bleu_agrees_with_sacrebleu_where_orders_have_no_match():
    for answers, references in ([["甲乙丙丁戊"], [["甲丙乙丁己"]]], [["甲"], [["甲乙丙"]]], [["甲"], [["乙"]]]):
        theirs = BLEU(tokenize="zh").corpus_score(answers, _columns(references)).score
        assert 100 * bleu_of(bleu_rows(answers, references, words="zh").sum(axis=0)) == pytest.approx(theirs)


def test_rouge_is_that_of_the_table():
    found = rouge_rows(["我爱北京天安门"], [["北京天安门我爱"]])
    assert found["rouge_1"][0, 0] == 1
    assert found["rouge_2"][0, 0] == pytest.approx(5 / 6)  # of six pairs only 爱北 is not met
    assert found["rouge_l"][0, 0] == pytest.approx(5 / 7)  # 北京天安门


def test_the_longest_common_subsequence_is_that_of_the_slow_table():
    rng = random.Random(0)
    for _ in range(50):
        left, right = ("".join(rng.choices("甲乙丙丁", k=rng.randint(1, 90))) for _ in range(2))
        table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
        found = rouge_rows([left], [[right]])["rouge_l"][0, 0]
        assert found == pytest.approx(2 * table[-1, -1] / (len(left) + len(right)))


def test_the_best_reference_counts_and_nothing_equals_nothing():
    found = rouge_rows(["甲乙", "", "甲"], [["丙", "甲乙"], [""], [""]])
    assert found["rouge_l"][:, 0].tolist() == [1, 1, 0]


def test_units_keep_words_of_letters_whole():
    assert units("基于CNN-3的, Ａ b_c") == ["基", "于", "cnn", "3", "的", "a", "b", "c"]
    assert words_of(["基于 CNN 的方法"]) == "zh"
    assert words_of(["A CNN method of 中文"]) == "13a"


def test_every_measure_has_its_numbers_and_an_interval():
    rows = overlap_rows(ANSWERS, REFERENCES, words="zh")
    assert sorted(rows) == sorted(one.name for one in OVERLAP)
    assert len(OVERLAP) == 5
    for one in OVERLAP:
        low, high = interval(one, rows[one.name], seed=0, resamples=200)
        assert 0 <= low < one.value(rows[one.name]) < high <= 1
        assert one.by_row(rows[one.name]).shape == (len(ANSWERS),)
