"""What the model sees: masked windows in pairs, whole reviews, and what each should tell about them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mini_zh.lexicon import FEELINGS
from mini_zh.tokens import CLS, MASK, PAD, SEP, SPECIAL

REVIEW_SHARE = 0.3  # of the batches
PROSE = {"dialogue": 0.55, "tech": 0.17, "books": 0.16, "modern_prose": 0.12}  # of the pairs in the others
WINDOWS = {32: 0.3, 64: 0.5, 128: 0.2}  # tokens in a row of prose, of the batches
LONGEST_REVIEW = 128
DROPPED_MERGES = 0.25  # of the rows come from the stream encoded with BPE-dropout
MASK_RATE = 0.25
HIDDEN = 0.6  # of the rows have every word of feeling masked


@dataclasses.dataclass
class Batch:
    """One update's rows; shapes in brackets, R rows of T tokens.

    Attributes:
        input_ids: masked tokens (R, T).
        attention_mask: (R, T), or None where nothing is padding.
        labels: the tokens asked for, -100 elsewhere (R, T).
        paired: whether rows 2i and 2i+1 continue one another (R,).
        polarity: 1 praise, 0 blame, -1 not known (R,).
        feelings: which groups of `FEELINGS` have a token in the unmasked text, NaN where one can still be seen (R, G).
            A word that dropped merges tore apart is not counted.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor | None
    labels: torch.Tensor
    paired: torch.Tensor
    polarity: torch.Tensor
    feelings: torch.Tensor


class Batches:
    """An endless, resumable stream of batches: all its state is one random generator."""

    def __init__(self, work: Path, batch_tokens: int, seed: int) -> None:
        names = ["reviews", *PROSE]
        # Each corpus twice: as it is tokenised in use, and with dropped merges.
        self.streams = {
            name: [np.load(work / f"{name}{suffix}.npy", mmap_mode="r") for suffix in ("", ".dropout")]
            for name in names
        }
        self.starts = [np.load(work / f"reviews{suffix}.starts.npy") for suffix in ("", ".dropout")]
        self.polarity = np.load(work / "reviews.polarity.npy")
        self.by_length = [np.argsort(np.diff(starts), kind="stable") for starts in self.starts]
        self.feeling = np.load(work / "feelings.npy")
        self.vocab = len(self.feeling)
        self.batch_tokens = batch_tokens
        self.rng = np.random.default_rng(seed)

    def draw(self) -> Batch:
        return self._reviews() if self.rng.random() < REVIEW_SHARE else self._prose()

    def _prose(self) -> Batch:
        length = int(self.rng.choice(list(WINDOWS), p=list(WINDOWS.values())))
        inner, pairs = length - 2, self.batch_tokens // length // 2
        rows = np.full((2 * pairs, length), SEP, dtype=np.int64)
        rows[:, 0] = CLS
        for pair, name in enumerate(self.rng.choice(list(PROSE), size=pairs, p=list(PROSE.values()))):
            stream = self.streams[str(name)][int(self.rng.random() < DROPPED_MERGES)]
            start = int(self.rng.integers(0, len(stream) - 2 * inner))
            rows[2 * pair : 2 * pair + 2, 1:-1] = stream[start : start + 2 * inner].reshape(2, inner)
        one_text = ~np.any(rows[:, 1:-1].reshape(pairs, -1) == SEP, axis=1)
        return self._masked(rows, None, np.repeat(one_text, 2), np.full(2 * pairs, -1))

    def _reviews(self) -> Batch:
        version = int(self.rng.random() < DROPPED_MERGES)
        order, starts = self.by_length[version], self.starts[version]
        middle = int(self.rng.integers(0, len(order)))
        length = min(int(starts[order[middle] + 1] - starts[order[middle]]) + 1, LONGEST_REVIEW)
        count = max(4, self.batch_tokens // length)
        # Neighbours in length, drawn from twice as many, so that the same texts do not always meet.
        near = order[max(0, middle - count) : middle + count]
        chosen = self.rng.choice(near, size=min(count, len(near)), replace=False)
        pieces = [self._review(version, index) for index in chosen]
        rows = np.full((len(pieces), max(map(len, pieces))), PAD, dtype=np.int64)
        for row, piece in zip(rows, pieces, strict=True):
            row[: len(piece)] = piece
        return self._masked(rows, rows != PAD, np.zeros(len(rows), dtype=bool), self.polarity[chosen])

    def _review(self, version: int, index: int) -> list[int]:
        begin, end = self.starts[version][index : index + 2]
        body = self.streams["reviews"][version][begin : end - 1]
        if len(body) > LONGEST_REVIEW - 2:
            skip = int(self.rng.integers(0, len(body) - LONGEST_REVIEW + 3))
            body = body[skip : skip + LONGEST_REVIEW - 2]
        return [CLS, *body, SEP]

    def _masked(
        self, rows: NDArray[np.int64], mask: NDArray[np.bool_] | None, paired: NDArray[np.bool_], polarity: Any
    ) -> Batch:
        feeling = self.feeling[rows]
        hide = (self.rng.random(len(rows)) < HIDDEN)[:, None] & (feeling > 0)
        # Where they are not all hidden, words of feeling are still asked for twice as often as others.
        rate = np.where(rows < len(SPECIAL), 0, np.where(feeling > 0, 2 * MASK_RATE, MASK_RATE))
        asked = hide | (self.rng.random(rows.shape) < rate)
        labels = np.where(asked, rows, -100)
        fate = np.where(hide, 0, self.rng.random(rows.shape))
        swap = asked & (fate >= 0.9)
        masked = np.where(asked & (fate < 0.8), MASK, rows)
        masked[swap] = self.rng.integers(len(SPECIAL), self.vocab, int(swap.sum()))
        groups = np.bitwise_or.reduce(feeling, axis=1)
        told = (groups[:, None] >> np.arange(len(FEELINGS)) & 1).astype(np.float32)
        told[(groups > 0) & ~hide.any(axis=1)] = np.nan
        return Batch(
            torch.from_numpy(masked),
            None if mask is None or mask.all() else torch.from_numpy(mask),
            torch.from_numpy(labels),
            torch.from_numpy(paired),
            torch.from_numpy(np.asarray(polarity, dtype=np.int64)),
            torch.from_numpy(told),
        )

    def state(self) -> str:
        return json.dumps(self.rng.bit_generator.state)

    def restore(self, state: str) -> None:
        self.rng.bit_generator.state = json.loads(state)
