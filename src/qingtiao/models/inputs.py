"""Texts as features, and features as one padded batch: what most tasks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from qingtiao.errors import DataError

# Keys that a feature may carry for us and that no model is to see.
_OURS = ("labels", "cut")


def encode_texts(tokenizer: Any, texts: Sequence[str], *, max_length: int) -> list[dict[str, Any]]:
    """One feature a text, truncated to `max_length` tokens; `cut` tells which were."""
    return _encoded(tokenizer, (list(texts),), max_length=max_length) if texts else []


def encode_pairs(tokenizer: Any, pairs: Sequence[Sequence[str]], *, max_length: int) -> list[dict[str, Any]]:
    """One feature a pair of texts, in their order; from a long pair the longer text loses tokens first.

    A tokenizer that knows how pairs are written writes them its own way. One that would run the second text into the
    first, as those of most decoders do, gets its separator token between them, else a line break.
    """
    if not pairs:
        return []
    columns = [first for first, _ in pairs], [second for _, second in pairs]
    if _divides_pairs(tokenizer):
        return _encoded(tokenizer, columns, max_length=max_length)
    separator = _separator(tokenizer)
    limit = max_length - len(separator)
    encoded = tokenizer(*columns, truncation=True, max_length=limit)
    features = _features(tokenizer, encoded, columns, max_length=limit)
    for index, feature in enumerate(features):
        _insert(feature, separator, at=_start_of_second(encoded.sequence_ids(index)))
    return features


def _encoded(tokenizer: Any, columns: Sequence[list[str]], *, max_length: int) -> list[dict[str, Any]]:
    encoded = tokenizer(*columns, truncation=True, max_length=max_length)  # True: the longest loses first
    return _features(tokenizer, encoded, columns, max_length=max_length)


def _features(tokenizer: Any, encoded: Any, columns: Sequence[list[str]], *, max_length: int) -> list[dict[str, Any]]:
    names = list(encoded)
    features = [dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)]
    for feature, *texts in zip(features, *columns, strict=True):
        # What came out shorter than the limit was not cut; only full rows need a second look.
        if len(feature["input_ids"]) >= max_length:
            feature["cut"] = len(tokenizer(*texts, verbose=False)["input_ids"]) > max_length
    return features


def _divides_pairs(tokenizer: Any) -> bool:
    """Whether a pair gets a special token between its texts. Asked of the tokenizer itself: no list of models."""
    special = tokenizer("一", "二", return_special_tokens_mask=True)["special_tokens_mask"]
    own = [position for position, flag in enumerate(special) if not flag]
    return any(special[own[0] : own[-1]])


def _separator(tokenizer: Any) -> list[int]:
    for token in (tokenizer.sep_token_id, tokenizer.eos_token_id):
        if token is not None:
            return [token]
    return list(tokenizer("\n", add_special_tokens=False)["input_ids"])


def _start_of_second(owners: Sequence[int | None]) -> int:
    """At which token the second text begins, or would if it had any; `owners` says whose each token is."""
    if 1 in owners:
        return owners.index(1)
    return len(owners) - owners[::-1].index(0) if 0 in owners else len(owners)


def _insert(feature: dict[str, Any], tokens: Sequence[int], *, at: int) -> None:
    """Put `tokens` into every list of the feature; what is no id takes the value of its neighbour."""
    for name, values in feature.items():
        if name == "input_ids":
            feature[name] = [*values[:at], *tokens, *values[at:]]
        elif isinstance(values, list):
            neighbour = values[max(0, at - 1) : max(1, at)] or [1]
            feature[name] = [*values[:at], *neighbour * len(tokens), *values[at:]]


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
