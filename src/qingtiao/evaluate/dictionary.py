"""The cheapest tagger there is: whatever was marked in training is marked wherever it stands again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from qingtiao.data.marks import Mark

# An entry must have been marked in at least this share of its places: 中 is a country in few of its thousands.
_MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Entries and the label each one bore most often."""

    labels: Mapping[str, str]
    longest: int

    @classmethod
    def fit(cls, texts: Sequence[str], marks: Sequence[Iterable[Mark]]) -> Self:
        """Learn from training texts and what is marked in them."""
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for row in marks:
            for mark in row:
                seen[mark.text][mark.label] += 1
        whole = cls({entry: min(found, key=lambda name: (-found[name], name)) for entry, found in seen.items()}, 0)
        whole = cls(whole.labels, max(map(len, seen), default=0))
        places = Counter(mark.text for text in texts for mark in whole.find(text))
        kept = {entry: label for entry, label in whole.labels.items() if seen[entry].total() >= _MOSTLY * places[entry]}
        return cls(kept, max(map(len, kept), default=0))

    def find(self, text: str) -> tuple[Mark, ...]:
        """Entries in `text` from left to right, the longest first."""
        return tuple(self._found(text))

    def _found(self, text: str) -> Iterator[Mark]:
        at = 0
        while at < len(text):
            for end in range(min(len(text), at + self.longest), at, -1):
                entry = text[at:end]
                if entry in self.labels:
                    yield Mark(at, end, self.labels[entry], entry)
                    at = end - 1
                    break
            at += 1
