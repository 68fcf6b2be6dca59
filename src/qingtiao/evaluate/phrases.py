"""Keywords that cost nothing: phrases frequent here and rare elsewhere, and those of a list that stand in a text."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

# Runs that a phrase may lie in: Chinese characters, Latin words and numbers, hyphens and dots inside them.
_RUN = re.compile(r"[\u3400-\u9fff0-9a-z](?:[\u3400-\u9fff0-9a-z .+-]*[\u3400-\u9fff0-9a-z+])?")
_UNIT = re.compile(r"[\u3400-\u9fff]|[0-9a-z][0-9a-z.+-]*")
# Words of grammar: no phrase begins or ends with one.
_GRAMMAR = frozenset("的了和与及或在是对为以而且也都被把由从向到于其之这那该各将中上下等并但不可能有所用使得个种")
_LONGEST = 6  # units: Chinese characters or Latin words
_SHORTEST = 2  # characters


@dataclass(frozen=True, slots=True)
class PhraseRanker:
    """TF-IDF over n-grams of characters; what a longer phrase accounts for is not counted again.

    Sources: Salton & Buckley 1988 for the weights; Frantzi, Ananiadou & Mima 2000 (C-value) for nested phrases.
    """

    texts: int
    containing: Mapping[str, int]  # how many training texts hold a phrase

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self:
        """Learn which phrases are common from training texts, folded as for `rank`."""
        containing: Counter[str] = Counter()
        for text in texts:
            containing.update({phrase for _, phrase in _phrases(text)})
        # A phrase of one text is as rare as one of none.
        return cls(len(texts), {phrase: n for phrase, n in containing.items() if n > 1})

    def rank(self, text: str, *, most: int) -> list[tuple[str, float]]:
        """The `most` telling phrases of a text in lower case, with their weights."""
        counts: Counter[str] = Counter()
        lengths: dict[str, int] = {}
        for length, phrase in _phrases(text):
            counts[phrase] += 1
            lengths[phrase] = length
        around: dict[str, list[int]] = defaultdict(list)
        for phrase, count in counts.items():
            for inner in {inner for _, inner in _phrases(phrase)} - {phrase}:
                around[inner].append(count)
        weights = {
            phrase: (count - (sum(around[phrase]) / len(around[phrase]) if around[phrase] else 0))
            * math.log2(1 + lengths[phrase])
            * math.log((1 + self.texts) / (1 + self.containing.get(phrase, 0)))
            for phrase, count in counts.items()
        }
        order = sorted(weights, key=lambda phrase: (-weights[phrase], phrase))
        return [(phrase, weights[phrase]) for phrase in order[:most]]


def _phrases(text: str) -> Iterator[tuple[int, str]]:
    """Every n-gram of units inside the runs of `text`, with its number of units."""
    for run in _RUN.finditer(text):
        units = [(unit.start(), unit.end()) for unit in _UNIT.finditer(run.group())]
        for first, (start, _) in enumerate(units):
            if run.group()[start] in _GRAMMAR:
                continue
            for length, (_, end) in enumerate(units[first : first + _LONGEST], 1):
                phrase = run.group()[start:end]
                if len(phrase) >= _SHORTEST and phrase[-1] not in _GRAMMAR:
                    yield length, phrase


@dataclass(frozen=True, slots=True)
class KnownPhrases:
    """Keywords of the training texts, each with the share of the texts holding it whose keyword it is."""

    shares: Mapping[str, float]
    longest: int

    @classmethod
    def fit(cls, texts: Sequence[str], keywords: Sequence[Iterable[str]]) -> Self:
        """Texts and keywords folded as for `rank`."""
        named = Counter(keyword for row in keywords for keyword in set(row) if keyword)
        longest = max(map(len, named), default=0)
        standing = Counter(
            phrase for text in texts for phrase in {phrase for _, phrase in _substrings(text, longest)} & named.keys()
        )
        # One more text of either kind: a keyword seen once is not a sure one.
        return cls({phrase: n / (1 + max(n, standing[phrase])) for phrase, n in named.items()}, longest)

    def rank(self, text: str, *, most: int) -> list[tuple[str, float]]:
        found = {phrase for _, phrase in _substrings(text, self.longest) if phrase in self.shares}
        order = sorted(found, key=lambda phrase: (-self.shares[phrase], -len(phrase), phrase))
        return [(phrase, self.shares[phrase]) for phrase in order[:most]]


def _substrings(text: str, longest: int) -> Iterator[tuple[int, str]]:
    for start in range(len(text)):
        for end in range(start + 1, min(len(text), start + longest) + 1):
            yield start, text[start:end]
