"""Splitting and sampling."""

from __future__ import annotations

from collections import Counter

import pytest
from data_rows import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtiao.data.duplicates import near_matches
from qingtiao.data.split import sample, split
from qingtiao.errors import DataError
from qingtiao.types import Dataset, Row


def distinct(count: int, label: str, *, first: int = 0) -> list[tuple[str, str]]:
    return [
        ("".join(chr(0x4E00 + (n * 37 + k * k * 11) % 9000) for k in range(10)), label)
        for n in range(first, first + count)
    ]


def made(rows: tuple[Row, ...], seed: int = 1, dev: float = 0.1, test: float = 0.1) -> Dataset:
    return split(rows, dev_share=dev, test_share=test, seed=seed, threshold=0.5)


ROWS = rows_of(distinct(300, "好") + distinct(60, "坏", first=1000))


def test_shares_and_labels_are_kept_and_nothing_is_lost() -> None:
    dataset = made(ROWS)
    assert [Counter(row.target for row in rows) for rows in dataset.splits().values()] == [
        {"好": 240, "坏": 48}, {"好": 30, "坏": 6}, {"好": 30, "坏": 6},
    ]  # fmt: skip
    assert sorted(row.place for rows in dataset.splits().values() for row in rows) == [row.place for row in ROWS]


def test_a_seed_decides() -> None:
    assert made(ROWS) == made(ROWS)
    assert made(ROWS) != made(ROWS, seed=2)


def test_near_duplicates_stay_on_one_side() -> None:
    rows = rows_of(
        [
            (text + end, label)
            for text, label in distinct(100, "好") + distinct(80, "坏", first=500)
            for end in ("", "！", "了")
        ]
    )
    dataset = made(rows)
    train = [row.text for row in dataset.train]
    for held_out in (dataset.dev, dataset.test):
        assert len(held_out) > 30
        assert near_matches([row.text for row in held_out], train, threshold=0.5) == [None] * len(held_out)


def test_a_share_of_nothing_leaves_a_split_empty() -> None:
    assert made(ROWS, test=0).test == ()
    assert len(made(ROWS, dev=0).dev) == 0


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], "没有数据行"),
        (distinct(50, "好"), "只有一种标签：好"),
        (distinct(50, "好") + distinct(1, "坏", first=100), "坏（1 行"),
        (distinct(50, "好") + distinct(2, "坏", first=100), "坏（2 行"),
        (distinct(50, "好") + [("一样的坏话说了很多遍", "坏")] * 20, "坏（20 行，1 种不同文本）"),
    ],
)
def test_an_impossible_split_says_why(pairs: list[tuple[str, str]], expected: str) -> None:
    with pytest.raises(DataError) as caught:
        made(rows_of(pairs))
    assert expected in caught.value.zh
    assert caught.value.todo_en


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 40), min_size=2, max_size=5), st.integers(0, 99), st.floats(0.02, 0.45))
def test_every_label_is_in_every_split(sizes: list[int], seed: int, share: float) -> None:
    pairs = [pair for n, size in enumerate(sizes) for pair in distinct(size, f"类{n}", first=n * 100)]
    dataset = made(rows_of(pairs), seed=seed, dev=share, test=share)
    for rows in (dataset.train, dataset.dev, dataset.test):
        assert {row.target for row in rows} == {f"类{n}" for n in range(len(sizes))}


def test_giant_groups_still_leave_something_on_every_side() -> None:
    pairs = [
        (f"{text}{n}", label) for text, label in distinct(3, "好") + distinct(3, "坏", first=50) for n in range(20)
    ]
    sides = [Counter(row.target for row in rows) for rows in made(rows_of(pairs)).splits().values()]
    assert sides == [{"好": 20, "坏": 20}] * 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 120), st.integers(0, 9))
def test_a_sample_has_the_size_asked_for_and_every_label_it_can(sizes: list[int], n: int, seed: int) -> None:
    rows = rows_of([(f"文本{k}-{i}", f"类{k}") for k, size in enumerate(sizes) for i in range(size)])
    chosen = sample(rows, n, seed=seed)
    assert len(chosen) == min(n, len(rows))
    assert len({row.place for row in chosen}) == len(chosen)
    assert len({row.target for row in chosen}) == min(n, len(sizes))
    assert chosen == sample(rows, n, seed=seed)
    assert chosen == sorted(chosen, key=lambda row: row.place)


def test_a_sample_keeps_the_proportions() -> None:
    assert Counter(row.target for row in sample(ROWS, 60, seed=3)) == {"好": 50, "坏": 10}
