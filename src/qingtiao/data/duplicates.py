"""Exact and near duplicates among short texts, in time and memory that grow with their number, not its square.

Exact: equal after `str.strip`. Near: the sets of 5-grams of the folded texts (NFKC, lower case, no whitespace) have a
Jaccard similarity of `threshold` or more; a text shorter than five characters is one gram, so it only equals itself.
Candidate pairs come from MinHash signatures cut into bands (rensa computes them); every pair is then verified on the
true sets, so there are no false matches, and at the threshold itself about one pair in a hundred is missed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtiao.types import Row

_GRAM = 5
_SLOTS = 126  # divisible by 1, 2, 3, 6, 7 and 9 rows a band
_CHUNK = 50_000
_NEIGHBOURS = 4
_MOST_CANDIDATES = 8
_SLACK = 0.2  # four standard errors of a 126-slot estimate at 0.5
_SEED = 20_240_501

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]
Signatures = NDArray[np.uint32]  # shape (texts, _SLOTS)


def exact_key(text: str) -> str:
    """What must be equal for two texts to be exact duplicates."""
    return text.strip()


def copy_key(row: Row) -> tuple[str, ...]:
    """What must be equal for two rows to be copies."""
    return (exact_key(row.text), *row.alike)


def row_groups(rows: Sequence[Row], *, threshold: float) -> list[int]:
    """`near_duplicate_groups` of rows: by their texts, or by what they say tells them alike."""
    if not any(row.alike for row in rows):
        return near_duplicate_groups([row.text for row in rows], threshold=threshold)
    groups, first = _Groups(len(rows)), dict[str, int]()
    for index, row in enumerate(rows):
        for key in row.alike:
            groups.join(index, first.setdefault(key, index))
    return [groups.root(index) for index in range(len(rows))]


def row_matches(queries: Sequence[Row], references: Sequence[Row], *, threshold: float) -> list[int | None]:
    """`near_matches` of rows: by their texts, or by what they say tells them alike."""
    if not any(row.alike for row in queries):
        return near_matches([row.text for row in queries], [row.text for row in references], threshold=threshold)
    first: dict[str, int] = {}
    for index, row in enumerate(references):
        for key in row.alike:
            first.setdefault(key, index)
    return [next((first[key] for key in row.alike if key in first), None) for row in queries]


def folded(text: str) -> str:
    """What near-duplicates are judged by: NFKC, lower case, no whitespace."""
    plain = text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)
    return "".join(plain.casefold().split())


def grams(text: str) -> frozenset[str]:
    """The 5-grams of a folded text; the text itself when it is shorter."""
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def near_duplicate_groups(texts: Sequence[str], *, threshold: float, seed: int = _SEED) -> list[int]:
    """A group number for each text; texts that are near-duplicates, directly or through others, share one.

    A group's number is the index of its first text. Texts that are empty once folded are one group.
    """
    first: dict[str, int] = {}
    unique_of = [first.setdefault(folded(text), len(first)) for text in texts]
    unique = list(first)
    groups = _Groups(len(unique))
    cached = lru_cache(maxsize=4096)(lambda i: grams(unique[i]))
    signatures = _signatures(unique, seed=seed)
    for keys in _band_keys(signatures, threshold):
        left, right = _pairs(keys)
        apart = groups.roots(left) != groups.roots(right)
        left, right = left[apart], right[apart]
        likely = _estimates(signatures, left, signatures, right) >= threshold - _SLACK
        for i, j in zip(left[likely].tolist(), right[likely].tolist(), strict=True):
            if groups.root(i) != groups.root(j) and jaccard(cached(i), cached(j)) >= threshold:
                groups.join(i, j)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(groups.root(number), row) for row, number in enumerate(unique_of)]


def near_matches(
    queries: Sequence[str], references: Sequence[str], *, threshold: float, seed: int = _SEED
) -> list[int | None]:
    """For each query the index of a reference that it nearly (or wholly) equals, or None. Equal ones come first."""
    first: dict[str, int] = {}
    for index, text in enumerate(references):
        first.setdefault(folded(text), index)
    plain = [folded(text) for text in queries]
    matches: list[int | None] = [first.get(text) for text in plain]
    open_queries = sorted({text for text, match in zip(plain, matches, strict=True) if match is None})
    found = _verified(open_queries, list(first), threshold=threshold, seed=seed)
    return [
        first[found[text]] if match is None and text in found else match
        for text, match in zip(plain, matches, strict=True)
    ]


def _verified(queries: Sequence[str], references: Sequence[str], *, threshold: float, seed: int) -> dict[str, str]:
    # The best estimate is tried first, so nearly every query needs a single true comparison.
    found: dict[str, str] = {}
    if not queries or not references:
        return found
    left, right = _signatures(queries, seed=seed), _signatures(references, seed=seed)
    query_of, reference_of = _cross_pairs(left, right, threshold)
    estimates = _estimates(left, query_of, right, reference_of)
    for index in np.lexsort((-estimates, query_of)).tolist():
        query, reference = queries[int(query_of[index])], references[int(reference_of[index])]
        likely = query not in found and estimates[index] >= threshold - _SLACK
        if likely and jaccard(grams(query), grams(reference)) >= threshold:
            found[query] = reference
    return found


def _cross_pairs(queries: Signatures, references: Signatures, threshold: float) -> tuple[Ints, Ints]:
    """Distinct pairs of a query and a reference that share a band."""
    found = [np.empty(0, dtype=np.int64)]
    for mine, theirs in zip(_band_keys(queries, threshold), _band_keys(references, threshold), strict=True):
        order = np.argsort(theirs, kind="stable")
        ranked = theirs[order]
        start, stop = np.searchsorted(ranked, mine, "left"), np.searchsorted(ranked, mine, "right")
        for step in range(_MOST_CANDIDATES):  # of a crowded bucket, the first few: they resemble one another
            rows = np.flatnonzero(start + step < stop)
            if not len(rows):
                break
            found.append(rows * len(references) + order[start[rows] + step])
    pairs = np.unique(np.concatenate(found))
    return pairs // len(references), pairs % len(references)


def _pairs(keys: UInts) -> tuple[Ints, Ints]:
    """Pairs of rows with equal keys: each with its bucket's first row and with its next few neighbours.

    All pairs of a bucket of up to six; for larger ones a number that grows with the size, not its square.
    """
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ranked = keys[order]
    begins = np.concatenate([[True], ranked[1:] != ranked[:-1]]) if len(ranked) else np.empty(0, dtype=bool)
    starts = np.flatnonzero(begins)[np.cumsum(begins) - 1] if len(ranked) else np.empty(0, dtype=np.int64)
    here = np.arange(len(ranked))
    far = here - starts > _NEIGHBOURS
    left, right = [order[starts[far]]], [order[here[far]]]
    for step in range(1, _NEIGHBOURS + 1):
        same = ranked[step:] == ranked[:-step]
        left.append(order[:-step][same])
        right.append(order[step:][same])
    return np.concatenate(left), np.concatenate(right)


def _estimates(left: Signatures, i: Ints, right: Signatures, j: Ints) -> NDArray[np.float64]:
    estimates = np.empty(len(i))
    for start in range(0, len(i), _CHUNK):
        part = slice(start, start + _CHUNK)
        estimates[part] = (left[i[part]] == right[j[part]]).mean(axis=1)
    return estimates


def _rows_per_band(threshold: float) -> int:
    """The most selective banding that still meets a pair at the threshold with a probability of 0.99."""
    fitting = [r for r in (1, 2, 3, 6, 7, 9) if 1 - (1 - threshold**r) ** (_SLOTS // r) >= 0.99]
    return max(fitting, default=1)


def _band_keys(signatures: Signatures, threshold: float) -> Iterator[UInts]:
    width = _rows_per_band(threshold)
    for start in range(0, _SLOTS, width):
        key = np.zeros(len(signatures), dtype=np.uint64)
        for column in range(start, start + width):
            key = _mixed(key ^ signatures[:, column].astype(np.uint64))
        yield key


def _signatures(texts: Sequence[str], *, seed: int) -> Signatures:
    from rensa import RMinHash

    signatures: Signatures = np.empty((len(texts), _SLOTS), dtype=np.uint32)
    for start in range(0, len(texts), _CHUNK):
        hashes, offsets = _gram_hashes(texts[start : start + _CHUNK])
        matrix: Any = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, _SLOTS, seed)
        signatures[start : start + _CHUNK] = matrix.to_rows()
    return signatures


def _gram_hashes(texts: Sequence[str]) -> tuple[UInts, UInts]:
    """A 64-bit hash of every gram of every text, and where each text's hashes begin (one more at the end)."""
    padded = [text.ljust(_GRAM, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    rolling = np.zeros(len(codes) - _GRAM + 1, dtype=np.uint64)
    for step in range(_GRAM):
        rolling = _mixed(rolling + codes[step : step + len(rolling)])
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    ends = np.cumsum(lengths)
    inside = np.ones(len(codes), dtype=bool)
    for step in range(1, _GRAM):  # a window that begins in the last four characters runs into the next text
        inside[ends - step] = False
    offsets = np.concatenate([[0], np.cumsum(lengths - _GRAM + 1)]).astype(np.uint64)
    return rolling[inside[: len(rolling)]], offsets


def _mixed(values: UInts) -> UInts:
    # The finaliser of splitmix64: every bit of the input reaches every bit of the output. Overflow is meant.
    values = (values + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class _Groups:
    """Union-find over 0..size-1; the smaller index is the root."""

    def __init__(self, size: int) -> None:
        self._parent: Ints = np.arange(size)

    def root(self, index: int) -> int:
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    def roots(self, indices: Ints) -> Ints:
        # All chains are shortened at once; afterwards every row points at its root.
        while not np.array_equal(shorter := self._parent[self._parent], self._parent):
            self._parent = shorter
        return self._parent[indices]

    def join(self, left: int, right: int) -> None:
        low, high = sorted((self.root(left), self.root(right)))
        self._parent[high] = low
