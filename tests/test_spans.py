"""Tags and spans: there and back, always valid, counted as seqeval counts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtiao.config import NormaliseConfig
from qingtiao.data.marks import Mark
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.spans import (
    SPAN_MEASURES,
    best_tags,
    counts,
    decode_table,
    log_probabilities,
    marks_of_tags,
    piece_tags,
    read_as,
    refuse_slipped,
    tag_loss,
    tag_names,
    text_read,
    token_tags,
)
from qingtiao.types import Place, Row

LABELS = ("LOC", "PER")
NAMES = tag_names(LABELS)
PLACE = Place("memory", 1)


def mark(start: int, end: int, label: str, text: str) -> Mark:
    return Mark(start, end, label, text[start:end])


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, tuple[Mark, ...]]:
    """A text and marks that stand apart."""
    text = draw(st.text("甲乙丙丁戊", min_size=0, max_size=20))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pairs = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    return text, tuple(mark(a, b, draw(st.sampled_from(LABELS)), text) for a, b in pairs)


@given(marked())
@settings(max_examples=200, deadline=None)
def test_single_characters_lose_nothing(given_row: tuple[str, tuple[Mark, ...]]) -> None:
    text, marks = given_row
    starts = list(range(len(text)))
    tags = piece_tags(starts, text, marks, LABELS)
    assert marks_of_tags(tags, starts, text, LABELS) == marks


@given(marked(), st.sets(st.integers(0, 19)))
@settings(max_examples=200, deadline=None)
def test_pieces_of_any_size_give_valid_tags(given_row: tuple[str, tuple[Mark, ...]], cuts: set[int]) -> None:
    text, marks = given_row
    starts = sorted({0, *(cut for cut in cuts if cut < len(text))}) if text else []
    tags = piece_tags(starts, text, marks, LABELS)
    assert len(tags) == len(starts)
    for before, tag in zip([0, *tags], tags, strict=False):
        assert tag % 2 or tag == 0 or before in (tag, tag - 1)


def test_a_piece_across_an_edge_goes_where_most_of_it_lies() -> None:
    text = "去北京市里玩"
    starts = [0, 1, 3, 5]  # 去 | 北京 | 市里 | 玩
    whole = mark(1, 4, "LOC", text)
    tags = piece_tags(starts, text, [whole], LABELS)
    assert [NAMES[tag] for tag in tags] == ["O", "B-LOC", "I-LOC", "O"]
    assert marks_of_tags(tags, starts, text, LABELS) == (mark(1, 5, "LOC", text),)
    one = piece_tags([0, 1, 5], text, [mark(1, 2, "LOC", text)], LABELS)  # a quarter of 北京市里
    assert one == [0, 0, 0]


def test_spaces_belong_to_the_piece_before_and_not_to_a_mark() -> None:
    text = "见Bill Gates 了"
    starts = [0, 1, 6, 12]
    person = mark(1, 11, "PER", text)
    tags = piece_tags(starts, text, [person], LABELS)
    assert [NAMES[tag] for tag in tags] == ["O", "B-PER", "I-PER", "O"]
    assert marks_of_tags(tags, starts, text, LABELS) == (person,)


def test_tokens_that_begin_nothing_are_not_learnt() -> None:
    text = "北京好"
    assert token_tags([-1, 0, -1, 1, 2, -1], text, [mark(0, 2, "LOC", text)], LABELS) == [-100, 1, -100, 2, 0, -100]


def valid(path: tuple[int, ...]) -> bool:
    return all(tag % 2 or tag == 0 or before in (tag, tag - 1) for before, tag in zip((0, *path), path, strict=False))


@pytest.mark.parametrize("seed", range(20))
def test_the_best_valid_path_is_found(seed: int) -> None:
    """Against all 5^4 sequences."""
    scores = np.random.default_rng(seed).normal(size=(4, 5))
    paths = [path for path in product(range(5), repeat=4) if valid(path)]
    best = max(paths, key=lambda path: sum(scores[i, tag] for i, tag in enumerate(path)))
    assert tuple(best_tags(scores)) == best
    greedy = tuple(scores.argmax(axis=1))
    assert not valid(greedy) or greedy == best


def test_an_inside_without_a_beginning_is_never_said() -> None:
    scores = np.array([[0.0, 0.0, 9.0, 0.0, 0.0]])
    assert best_tags(scores).tolist() != [2]
    assert best_tags(np.zeros((0, 5))).tolist() == []
    scores = np.array([[1.0, 0.0, 5.0], [0.0, 0.0, 5.0]])
    assert best_tags(scores).tolist() == [1, 2]  # the beginning is put in rather than the whole given up
    scores = np.zeros((3, 5))
    scores[[0, 1, 2], [1, 4, 2]] = 3.0  # B-LOC I-PER I-LOC
    assert valid(tuple(best_tags(scores)))


def table_of(tags: list[int], begins: list[int]) -> np.ndarray:
    table = np.zeros((len(begins), 1 + len(NAMES)), dtype=np.float32)
    table[:, 0] = begins
    for row, tag in zip(np.flatnonzero(begins), tags, strict=True):
        table[row, 1 + tag] = 8.0
    return table


def test_a_table_is_decoded_and_its_loss_is_the_mean_over_pieces() -> None:
    text = "去北京 了"
    table = table_of([0, 1, 2, 0], [1, 1, 1, 0, 1])
    place = mark(1, 3, "LOC", text)
    assert decode_table(table, text, LABELS) == (place,)
    gold = tag_loss([table], [text], [[place]], LABELS)
    assert gold == pytest.approx(float(np.log(1 + 4 * np.exp(-8.0))))
    assert tag_loss([table], [text], [[]], LABELS) == pytest.approx(gold + 8 * 2 / 4)
    empty = np.zeros((0, 6), dtype=np.float32)
    assert decode_table(empty, "", LABELS) == ()
    assert tag_loss([empty], [""], [[]], LABELS) == 0
    assert log_probabilities(empty, []).shape == (0, 5)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_seqeval(seed: int) -> None:
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is a reference for the tests only")
    from seqeval.scheme import IOB2

    rng = np.random.default_rng(seed)
    text = "甲乙丙丁戊己庚辛壬癸" * 2
    starts = list(range(len(text)))
    gold_paths, said_paths = [], []
    for _ in range(40):
        gold = best_tags(rng.normal(size=(20, 5)) + np.array([2.0, 0, 0, 0, 0]))
        gold_paths.append(gold)
        # Mostly the same, so that there is something to be right about.
        said_paths.append(best_tags(np.eye(5)[gold] * 2 + rng.normal(size=(20, 5))))

    def as_tags(paths: list[np.ndarray]) -> list[list[str]]:
        return [[NAMES[tag] for tag in path] for path in paths]

    def as_marks(paths: list[np.ndarray]) -> list[tuple[Mark, ...]]:
        return [marks_of_tags(path.tolist(), starts, text, LABELS) for path in paths]

    ours = counts(as_marks(said_paths), as_marks(gold_paths), LABELS)
    values = {measure.name: measure.value(ours) for measure in SPAN_MEASURES}
    theirs = (as_tags(gold_paths), as_tags(said_paths))
    strict = {"mode": "strict", "scheme": IOB2}
    assert 0.1 < values["span_f1"] < 0.95
    assert values["span_f1"] == pytest.approx(seqeval.f1_score(*theirs, **strict))
    assert values["span_precision"] == pytest.approx(seqeval.precision_score(*theirs, **strict))
    assert values["span_recall"] == pytest.approx(seqeval.recall_score(*theirs, **strict))
    assert values["macro_span_f1"] == pytest.approx(seqeval.f1_score(*theirs, average="macro", **strict))


def test_nothing_said_of_nothing_is_right() -> None:
    blank = counts([()], [()], LABELS)
    missed = counts([()], [(Mark(0, 1, "LOC", "甲"),)], LABELS)
    first = SPAN_MEASURES[0]
    assert first.by_row(np.concatenate([blank, missed])).tolist() == [1.0, 0.0]
    assert SPAN_MEASURES[3].value(blank) == 1.0


def test_what_the_model_reads_is_as_long_as_what_was_given() -> None:
    given_text = "２０２０年\u200b，　ＡＢＣ㎡！！！！！ "
    row = read_as(Row(given_text, (Mark(0, 4, "X", "２０２０"),), PLACE), Normaliser(NormaliseConfig()))
    assert row.text == given_text
    assert text_read(row) == "2020年 , ABC㎡!!!!! "
    assert read_as(row, Normaliser(NormaliseConfig())) == row
    plain = read_as(Row(given_text, None, PLACE), Normaliser(NormaliseConfig(nfkc=False)))
    assert text_read(plain).startswith("２０２０年 ，")
    assert text_read(Row("甲", None, PLACE)) == "甲"


def test_a_text_of_nothing_is_empty_and_marks_that_slipped_are_told() -> None:
    assert read_as(Row(" \u200b\n", (), PLACE), Normaliser(NormaliseConfig())).text == ""
    assert read_as(Row("", None, PLACE), Normaliser(NormaliseConfig())).target is None
    with pytest.raises(DataError, match="memory:1"):
        refuse_slipped(Row("短了", (Mark(2, 4, "X", "北京"),), PLACE))
    refuse_slipped(Row("在北京", (Mark(1, 3, "X", "北京"),), PLACE))
