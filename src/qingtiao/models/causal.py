"""What causal language models say of tokens, without logits that nobody looks at."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from numpy.typing import NDArray

IGNORED = -100
TEXT = ("input_ids", "attention_mask")


def logits_at(model: Any, inputs: Mapping[str, torch.Tensor], positions: torch.Tensor) -> torch.Tensor:
    """Logits of shape (rows, positions, vocabulary), in float32, of the same `positions` (k,) of every row.

    A vocabulary of 150,000 makes 0.6 MB of every position, so the others are not computed where the model can help it.
    """
    # Counted from the end: prompt tuning puts tokens of its own before ours, and not while its adapter is disabled.
    positions = positions - inputs["input_ids"].shape[1]
    base = extract_model_from_parallel(model)
    base = base.get_base_model() if hasattr(base, "get_base_model") else base
    if "logits_to_keep" in inspect.signature(base.forward).parameters:
        logits: torch.Tensor = model(**inputs, use_cache=False, logits_to_keep=positions).logits
        return logits.float()
    return model(**inputs, use_cache=False).logits[:, positions].float()  # type: ignore[no-any-return]


def log_likelihoods(
    model: Any, batch: Mapping[str, torch.Tensor], *, inputs: Sequence[str] = TEXT
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the tokens that `labels` (rows, length) name, and a mask of them, both (rows, k).

    The k places are those at which any row has a label; where a row has none the mask is False. `inputs` names what of
    the batch the model reads.
    """
    # The token at a place is told by the logits before it.
    labels = torch.nn.functional.pad(batch["labels"], (0, 1), value=IGNORED)[:, 1:]
    positions = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
    wanted = labels[:, positions]
    logits = logits_at(model, {name: batch[name] for name in inputs}, positions)
    chosen = logits.log_softmax(dim=-1).gather(2, wanted.clamp_min(0).unsqueeze(2)).squeeze(2)
    return chosen, wanted != IGNORED


def answer_loss(model: Any, batch: Mapping[str, torch.Tensor], *, inputs: Sequence[str] = TEXT) -> torch.Tensor:
    """The mean negative log-probability of the tokens that `labels` name, a scalar."""
    chosen, mask = log_likelihoods(model, batch, inputs=inputs)
    return -(chosen * mask).sum() / mask.sum().clamp_min(1)


def answer_outputs(
    model: Any, batch: Mapping[str, torch.Tensor], *, inputs: Sequence[str] = TEXT
) -> list[NDArray[np.float32]]:
    """For each row the log-probabilities, in nats, of the tokens that its `labels` name."""
    chosen, mask = log_likelihoods(model, batch, inputs=inputs)
    return [row[said].float().cpu().numpy() for row, said in zip(chosen, mask, strict=True)]
