"""Paraphrase pairs out of tatoeba: two Chinese sentences that translate one English sentence, or two that do not.

    python benchmarks/tasks/tatoeba_pairs.py tatoeba_en_zh.jsonl.gz FOLDER [--seed 1]

writes FOLDER/{train,dev,test}.jsonl with the columns text, text_b and label, half of the rows alike. Sentences that are
linked by translations, however indirectly, are one group, and a group lies in one split whole: no sentence of a test
pair was seen in training. The second sentence of an unlike pair comes from another group of the same split and is
among the nearest there by character TF-IDF, so that shared characters alone do not give the label away.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from qingtiao.data.read import read_records
from qingtiao.data.write import write_records

LIKE, UNLIKE = "同义", "不同"
DEV_SHARE, TEST_SHARE = 0.1, 0.2
NEAREST = 20
_CHUNK = 500

Links = Mapping[str, Sequence[str]]


class Corpus(NamedTuple):
    """Chinese sentences by English one, and the group of every Chinese sentence."""

    translations: Links
    groups: Mapping[str, int]


def read(path: Path) -> Corpus:
    english: dict[str, list[str]] = defaultdict(list)
    chinese: dict[str, list[str]] = defaultdict(list)
    for record in read_records(path):
        english[record.fields["zh"]].append(record.fields["en"])
        chinese[record.fields["en"]].append(record.fields["zh"])
    return Corpus({source: list(dict.fromkeys(found)) for source, found in chinese.items()}, _groups(english, chinese))


def _groups(english: Links, chinese: Links) -> dict[str, int]:
    groups: dict[str, int] = {}
    for number, start in enumerate(english):
        waiting = [start]
        while waiting:
            text = waiting.pop()
            if text not in groups:
                groups[text] = number
                waiting += [other for source in english[text] for other in chinese[source]]
    return groups


def sides(groups: Mapping[str, int], *, seed: int) -> dict[int, str]:
    """The split of every group."""
    numbers = sorted(set(groups.values()))
    random.Random(seed).shuffle(numbers)
    dev, test = round(DEV_SHARE * len(numbers)), round(TEST_SHARE * len(numbers))
    names = ["dev"] * dev + ["test"] * test + ["train"] * (len(numbers) - dev - test)
    return dict(zip(numbers, names, strict=True))


def rows_of(corpus: Corpus, inside: Mapping[str, int], *, seed: int) -> list[dict[str, str]]:
    """The pairs of one split, whose sentences and groups are `inside`: as many unlike as alike, shuffled."""
    rng = random.Random(seed)
    found = {
        tuple(sorted(two))
        for texts in corpus.translations.values()
        if texts[0] in inside
        for two in combinations(texts, 2)
    }
    alike = [rng.sample(two, 2) for two in sorted(found)]  # either may come first
    others = _near_but_unlike([first for first, _ in alike], inside, rng)
    rows = [{"text": first, "text_b": second, "label": LIKE} for first, second in alike]
    rows += [{"text": first, "text_b": other, "label": UNLIKE} for (first, _), other in zip(alike, others, strict=True)]
    rng.shuffle(rows)
    return rows


def _near_but_unlike(asked: Sequence[str], inside: Mapping[str, int], rng: random.Random) -> Iterator[str]:
    """For each sentence asked about one of the nearest of other groups."""
    texts, group = list(inside), np.array(list(inside.values()))
    counter = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    table = counter.fit_transform(texts)
    for start in range(0, len(asked), _CHUNK):
        some = asked[start : start + _CHUNK]
        for text, near in zip(some, (counter.transform(some) @ table.T).toarray(), strict=True):
            other = group != inside[text]
            ranked = np.argsort(np.where(other, -near, np.inf), kind="stable")
            yield texts[rng.choice(ranked[: min(NEAREST, other.sum())])]


def main() -> None:
    parser = argparse.ArgumentParser(description="paraphrase pairs out of tatoeba")
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    corpus = read(asked.source)
    split_of = sides(corpus.groups, seed=asked.seed)
    asked.folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        inside = {text: group for text, group in corpus.groups.items() if split_of[group] == split}
        rows = rows_of(corpus, inside, seed=asked.seed)
        write_records(asked.folder / f"{split}.jsonl", rows, neutralise=False)
        print(f"{split}: {len(rows)} pairs, {sum(row['label'] == LIKE for row in rows)} of them alike")


if __name__ == "__main__":
    main()
