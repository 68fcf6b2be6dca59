"""How likely each of a few known words is to follow a prompt: a language model as a classifier.

The words, as tokens, form a tree. At each fork the model's next-token probabilities are shared out anew among the
branches, so that the words' probabilities sum to one and nothing else can be said; where a word runs on without a
fork nothing is asked. A long word is therefore not less likely for being long, and words that part at their first
token, as most do, cost a single pass over the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from qingtiao.models.causal import logits_at

Tokens = tuple[int, ...]


class Fork(NamedTuple):
    """`read` stands between the prompt and the fork; `branches` are next tokens, each with the words that lie there."""

    read: Tokens
    branches: Mapping[int, tuple[int, ...]]


def forks_of(words: Sequence[Sequence[int]]) -> list[Fork]:
    """Where two or more different words part, nearest first. No word may be the beginning of another."""
    forks = []
    waiting: list[tuple[Tokens, tuple[int, ...]]] = [((), tuple(range(len(words))))]
    while waiting:
        read, here = waiting.pop(0)
        branches: dict[int, list[int]] = {}
        for word in here:
            branches.setdefault(words[word][len(read)], []).append(word)
        if len(branches) > 1:
            forks.append(Fork(read, {token: tuple(those) for token, those in branches.items()}))
        waiting += [((*read, token), tuple(those)) for token, those in branches.items() if len(those) > 1]
    return forks


def readings(forks: Sequence[Fork]) -> list[Tokens]:
    """What must be read after the prompt to come past every fork, as few as do."""
    reads = [fork.read for fork in forks]
    return [read for read in reads if not any(other != read and other[: len(read)] == read for other in reads)]


def prompts_batch(
    prompts: Sequence[Sequence[int]], words: Sequence[Sequence[int]], tokenizer: Any
) -> dict[str, torch.Tensor]:
    """Every prompt with each of the `readings` behind it, padded on the right.

    Returns:
        `input_ids` and `attention_mask` (rows x readings, longest), `lengths` of the prompts (rows,), and `words`
        (words, longest) filled with -1.
    """
    reads = readings(forks_of(words))
    inputs = [{"input_ids": [*prompt, *read]} for prompt in prompts for read in reads]
    longest = max(map(len, words))
    return {
        **tokenizer.pad(inputs, padding=True, return_tensors="pt", padding_side="right"),
        "lengths": torch.tensor([len(prompt) for prompt in prompts]),
        "words": torch.tensor([[*word, *[-1] * (longest - len(word))] for word in words]),
    }


def word_log_probabilities(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Log-probabilities (rows, words) in nats of a `prompts_batch`; each row's probabilities sum to one."""
    words = [[token for token in word if token >= 0] for word in batch["words"].tolist()]
    forks = forks_of(words)
    reads, rows = readings(forks), len(batch["lengths"])
    depths = torch.tensor(sorted({len(fork.read) for fork in forks}), device=batch["lengths"].device)
    # The next token is told by the logits at the one before it.
    places = batch["lengths"].unsqueeze(1) - 1 + depths
    positions, at = torch.unique(places, return_inverse=True)
    logits = logits_at(model, {name: batch[name] for name in ("input_ids", "attention_mask")}, positions)
    logits = logits.reshape(rows, len(reads), *logits.shape[1:])
    every = torch.arange(rows, device=logits.device)
    total = logits.new_zeros(rows, len(words))
    for fork in forks:
        reading = next(index for index, read in enumerate(reads) if read[: len(fork.read)] == fork.read)
        depth = int((depths == len(fork.read)).nonzero())
        there = logits[every, reading, at[:, depth]]
        shares = there[:, list(fork.branches)].log_softmax(dim=1)
        member = torch.zeros(len(fork.branches), len(words), device=logits.device)
        for branch, those in enumerate(fork.branches.values()):
            member[branch, list(those)] = 1
        total = total + shares @ member
    return total
