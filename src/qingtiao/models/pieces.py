"""Texts in the tokenizer's pieces with the characters they stand for, in windows so that nothing is cut off.

Offsets are those of the text: a piece owns the characters from its own first to the next piece's first, so that
spaces and whatever else the tokenizer passes over belong to the piece before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from qingtiao.errors import BaseModelError

Units = Literal["characters", "pieces"]

# Of a window that is shared with the next one. A piece at an edge still sees an eighth of a window beyond itself.
_OVERLAP = 0.25
# Windows that go through the model at once when nothing is learnt: memory stays bounded, however long the text.
_AT_ONCE = 64
_FIRST_WIDE = "\u2e80"  # from here on: Han, kana, full-width forms, emoji


@dataclass(frozen=True, slots=True)
class Pieces:
    """Token ids of a text, and for each the character it begins at; -1 where it begins none of its own."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]


def pieces_of(tokenizer: Any, texts: Sequence[str], *, units: Units) -> list[Pieces]:
    """The texts in pieces without special tokens.

    With `units` "characters", a piece of several Chinese characters is given as single ones wherever the vocabulary
    has them; Latin words and numbers stay as the tokenizer cuts them.

    Raises:
        BaseModelError: the tokenizer cannot tell offsets.
    """
    if not texts:
        return []
    if not tokenizer.is_fast:
        raise BaseModelError(
            "这个基座的分词器给不出每个词元在文本里的位置",
            "The tokenizer of this base cannot tell where in the text a token stands",
            todo_zh="换一个带 tokenizer.json 的基座。",
            todo_en="Use a base that comes with a tokenizer.json.",
        )
    encoded = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    found, alone = [], _alone(tokenizer)
    for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        placed = list(zip(ids, offsets, strict=True))
        if units == "characters":
            placed = [single for token, span in placed for single in _singles(text, token, span, alone)]
        found.append(Pieces(tuple(token for token, _ in placed), tuple(_owned(text, [span for _, span in placed]))))
    return found


def _singles(
    text: str, token: int, span: tuple[int, int], alone: Callable[[str], list[int]]
) -> list[tuple[int, tuple[int, int]]]:
    """The piece as pieces of single characters; itself where it is one, is Latin, or a character has no token."""
    start, end = span
    if end - start < 2 or not any(char >= _FIRST_WIDE for char in text[start:end]):
        return [(token, span)]
    parts = [(index, alone(text[index])) for index in range(start, end)]
    if not all(ids for _, ids in parts):
        return [(token, span)]
    return [(one, (index, index + 1)) for index, ids in parts for one in ids]


def _alone(tokenizer: Any) -> Callable[[str], list[int]]:
    """The tokens of one character on its own; none where it is unknown."""

    @cache
    def ids(char: str) -> list[int]:
        # The vocabulary first: asked for a lone character, some tokenizers put a mark of a word's beginning before it.
        known = tokenizer.convert_tokens_to_ids(char)
        found = [known] if known is not None else []
        if not found or known == tokenizer.unk_token_id:
            found = tokenizer(char, add_special_tokens=False)["input_ids"]
        return [] if tokenizer.unk_token_id in found else found

    return ids


def _owned(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Where each piece begins; a second piece for the same character (byte-level vocabularies) begins nothing."""
    starts, covered = [], 0
    for start, end in spans:
        while start < end and text[start].isspace():
            start += 1  # noqa: PLW2901 - some vocabularies keep the space before a word with it
        starts.append(start if covered <= start < end else -1)
        covered = max(covered, end)
    return starts


def windows(count: int, size: int) -> list[tuple[range, range]]:
    """Cut `count` pieces into windows of at most `size`: what each sees, and what of that is read off it.

    Every piece is read off exactly one window, the one in which it stands further from the edge.
    """
    if count <= size:
        return [(range(count), range(count))]
    shared = int(size * _OVERLAP)
    begins = [*range(0, count - size, size - shared), count - size]
    edges = [0, *((begin + last + size) // 2 for last, begin in pairwise(begins)), count]
    reads = (range(low, high) for low, high in pairwise(edges))
    return [(range(begin, begin + size), read) for begin, read in zip(begins, reads, strict=True)]


def frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and behind a text."""
    encoded = tokenizer("一", return_special_tokens_mask=True)
    inner = encoded["special_tokens_mask"].index(0)
    behind = len(encoded["input_ids"]) - encoded["special_tokens_mask"][::-1].index(0)
    return encoded["input_ids"][:inner], encoded["input_ids"][behind:]


def encode_pieces(tokenizer: Any, texts: Sequence[str], *, units: Units, max_length: int) -> list[dict[str, Any]]:
    """A feature a text. `input_ids` holds all its windows one after the other, `windows` their lengths, and `starts`
    for each token the character that it begins and that is read off here, else -1."""
    before, behind = frame(tokenizer)
    size = max(1, max_length - len(before) - len(behind))
    features = []
    for text, pieces in zip(texts, pieces_of(tokenizer, texts, units=units), strict=True):
        feature: dict[str, Any] = {"input_ids": [], "starts": [], "windows": [], "characters": len(text)}
        for seen, read in windows(len(pieces.ids), size):
            feature["input_ids"] += [*before, *(pieces.ids[index] for index in seen), *behind]
            starts = (pieces.starts[index] if index in read else -1 for index in seen)
            feature["starts"] += [*(-1 for _ in before), *starts, *(-1 for _ in behind)]
            feature["windows"].append(len(before) + len(seen) + len(behind))
        features.append(feature)
    return features


# What `collate_pieces` adds for us and no model is to see.
_OURS = ("starts", "row", "characters", "labels")


def collate_pieces(features: Sequence[Mapping[str, Any]], tokenizer: Any) -> dict[str, torch.Tensor]:
    """Windows as rows: `input_ids`, `attention_mask`, `starts` and (if any) `labels`, each (windows, longest).

    `row` (windows,) says whose window it is, `characters` (rows,) how many characters each text has.
    """
    ids, owners = _cut(features, "input_ids"), [n for n, one in enumerate(features) for _ in one["windows"]]
    batch = dict(tokenizer.pad({"input_ids": ids}, padding=True, return_tensors="pt"))
    longest = batch["input_ids"].shape[1]
    batch["starts"] = _filled(_cut(features, "starts"), longest, -1)
    if "labels" in features[0]:
        batch["labels"] = _filled(_cut(features, "labels"), longest, -100)
    batch["row"] = torch.tensor(owners)
    batch["characters"] = torch.tensor([feature["characters"] for feature in features])
    return batch


def _cut(features: Sequence[Mapping[str, Any]], name: str) -> list[list[int]]:
    parts = []
    for feature in features:
        begin = 0
        for length in feature["windows"]:
            parts.append(list(feature[name][begin : begin + length]))
            begin += length
    return parts


def _filled(rows: Sequence[Sequence[int]], length: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def piece_logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The model's logits for every token, (windows, longest, tags), in float32."""
    inputs = {name: tensor for name, tensor in batch.items() if name not in _OURS}
    count = len(batch["row"])
    if torch.is_grad_enabled() or count <= _AT_ONCE:
        logits: torch.Tensor = model(**inputs).logits.float()
        return logits
    parts = [
        model(**{name: tensor[at : at + _AT_ONCE] for name, tensor in inputs.items()}).logits.float()
        for at in range(0, count, _AT_ONCE)
    ]
    return torch.cat(parts)


def by_character(logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[NDArray[np.float32]]:
    """Logits as one array a text, (characters, 1 + tags): first 1 where a piece begins, then its logits, else 0."""
    scores, starts, owners = (tensor.cpu().numpy() for tensor in (logits, batch["starts"], batch["row"]))
    tables = [np.zeros((int(n), 1 + scores.shape[-1]), dtype=np.float32) for n in batch["characters"]]
    for window, owner in enumerate(owners):
        begun = starts[window] >= 0
        tables[owner][starts[window][begun], 0] = 1
        tables[owner][starts[window][begun], 1:] = scores[window][begun]
    return tables


def tag_cross_entropy(logits: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """Mean over the tags that are not -100; 0 where there are none, as in a batch of empty texts."""
    total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=-100, reduction="sum")
    return total / (tags >= 0).sum().clamp(min=1)
