"""Near-duplicates: as a comparison of all pairs would find them, without comparing all pairs."""

from __future__ import annotations

import random
import time
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtiao.data.duplicates import exact_key, folded, grams, jaccard, near_duplicate_groups, near_matches

CHARACTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 500)]


def random_texts(count: int, *, seed: int, length: int = 40) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(CHARACTERS, k=length)) for _ in range(count)]


def edited(text: str, edits: int, rng: random.Random) -> str:
    letters = list(text)
    for _ in range(edits):
        letters[rng.randrange(len(letters))] = rng.choice(CHARACTERS)
    return "".join(letters)


def mixture(seed: int) -> list[str]:
    rng = random.Random(seed)
    fresh = random_texts(150, seed=seed)
    return fresh + [edited(rng.choice(fresh), rng.randint(0, 6), rng) for _ in range(150)]


def all_pairs_groups(texts: list[str], threshold: float) -> list[int]:
    groups = list(range(len(texts)))
    for i, j in combinations(range(len(texts)), 2):
        if jaccard(grams(folded(texts[i])), grams(folded(texts[j]))) >= threshold:
            low, high = sorted((groups[i], groups[j]))
            groups = [low if group == high else group for group in groups]
    return groups


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_groups_are_those_of_all_pairs(threshold: float) -> None:
    texts = mixture(1)
    expected = all_pairs_groups(texts, threshold)
    assert len(set(expected)) < len(texts) - 20
    found = near_duplicate_groups(texts, threshold=threshold)
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 3


def test_nothing_apart_is_ever_joined() -> None:
    texts = mixture(2)
    expected = all_pairs_groups(texts, 0.6)
    for i, group in enumerate(near_duplicate_groups(texts, threshold=0.6)):
        assert expected[i] == expected[group]


def test_matches_are_true_and_nearly_all_found() -> None:
    rng = random.Random(3)
    references = random_texts(300, seed=3)
    queries = [edited(rng.choice(references), rng.randint(0, 5), rng) for _ in range(200)] + random_texts(100, seed=4)
    matches = near_matches(queries, references, threshold=0.5)
    for query, match in zip(queries, matches, strict=True):
        assert match is None or jaccard(grams(query), grams(references[match])) >= 0.5
    real = sum(any(jaccard(grams(q), grams(r)) >= 0.5 for r in references) for q in queries)
    assert real > 100
    assert sum(match is not None for match in matches) >= real - 2


def test_an_equal_reference_comes_before_a_near_one() -> None:
    text = random_texts(1, seed=5)[0]
    assert near_matches([text], [text[:-1] + "好", text, text], threshold=0.5) == [1]


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "好"], ["好", "坏"]])
def test_few_and_short_texts(texts: list[str]) -> None:
    assert len(near_duplicate_groups(texts, threshold=0.5)) == len(texts)
    assert near_matches(texts, [], threshold=0.5) == [None] * len(texts)
    assert near_matches([], texts, threshold=0.5) == []
    assert near_matches(["新"], texts, threshold=0.5) == [None]


def test_width_case_and_spaces_do_not_hide_a_copy() -> None:
    assert near_duplicate_groups(["Ｇｏｏｄ 好吃", "good好吃", "别的话"], threshold=1.0) == [0, 0, 2]


@pytest.mark.parametrize("suffix", ["", "不"])
def test_one_giant_cluster_takes_linear_time(suffix: str) -> None:
    texts = [f"这家店的味道真的很不错我们下次还会带朋友再来的{suffix * (n % 7)}{n}" for n in range(10_000)]
    start = time.perf_counter()
    assert len(set(near_duplicate_groups(texts, threshold=0.5))) == 1
    assert all(match is not None for match in near_matches(texts[:1000], texts[1000:], threshold=0.5))
    assert time.perf_counter() - start < 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters() | st.sampled_from("\ud83d好吃 "), max_size=12), max_size=8))
def test_any_text_at_all_is_grouped_with_its_equals(texts: list[str]) -> None:
    groups = near_duplicate_groups(texts, threshold=0.5)
    for i, j in combinations(range(len(texts)), 2):
        if exact_key(texts[i]) == exact_key(texts[j]):
            assert groups[i] == groups[j]
    assert near_matches(texts, texts, threshold=1.0).count(None) == 0


def test_a_seed_gives_the_same_groups_again() -> None:
    texts = mixture(6)
    assert near_duplicate_groups(texts, threshold=0.5, seed=1) == near_duplicate_groups(texts, threshold=0.5, seed=1)
