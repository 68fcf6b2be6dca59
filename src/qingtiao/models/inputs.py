"""Texts as features, and features as one padded batch: what most tasks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from qingtiao.errors import DataError

# Keys that a feature may carry for us and that no model is to see.
_OURS = ("labels", "cut")


def encode_texts(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int
) -> list[dict[str, Any]]:
    """One feature a text (or a pair of texts), truncated to `max_length` tokens; `cut` tells which were."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), list(pairs) if pairs is not None else None, truncation=True, max_length=max_length)
    names = list(encoded)
    features = [dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)]
    for index, feature in enumerate(features):
        # What came out shorter than the limit was not cut; only full rows need a second look.
        if len(feature["input_ids"]) >= max_length:
            both = (texts[index],) if pairs is None else (texts[index], pairs[index])
            feature["cut"] = len(tokenizer(*both, verbose=False)["input_ids"]) > max_length
    return features


def pad(features: Sequence[Mapping[str, Any]], tokenizer: Any) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and whatever else the tokenizer made, each of shape (rows, longest)."""
    inputs = [{name: value for name, value in feature.items() if name not in _OURS} for feature in features]
    return dict(tokenizer.pad(inputs, padding=True, return_tensors="pt"))


def padded_labels(
    features: Sequence[Mapping[str, Any]], length: int, *, dtype: torch.dtype = torch.long, left: bool = False
) -> torch.Tensor:
    """The features' `labels` of one entry a token, filled with -100 to shape (rows, length)."""
    labels = torch.full((len(features), length), -100, dtype=dtype)
    for row, feature in enumerate(features):
        values = torch.as_tensor(feature["labels"], dtype=dtype)
        if left:
            labels[row, length - len(values) :] = values
        else:
            labels[row, : len(values)] = values
    return labels


def longest_fit(text: str, encode: Callable[[str], list[int]], *, max_length: int) -> list[int]:
    """The tokens that `encode` gives for the longest beginning of `text` with which they are at most `max_length`.

    Raises:
        DataError: what stands around the text is too long by itself.
    """
    fits, low, high = encode(""), 0, len(text)
    if len(fits) > max_length:
        raise DataError(
            f"提示语本身就有 {len(fits)} 个词元，超过上限 {max_length}",
            f"The prompt alone takes {len(fits)} tokens, more than the limit of {max_length}",
            todo_zh="调大 --set base.max_length，或者把提示语写短。",
            todo_en="Raise --set base.max_length, or write a shorter prompt.",
        )
    while low < high:
        middle = (low + high + 1) // 2
        tried = encode(text[:middle])
        if len(tried) <= max_length:
            fits, low = tried, middle
        else:
            high = middle - 1
    return fits
