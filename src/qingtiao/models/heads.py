"""A base with one head over the whole input: its batches, its loss and its logits, whatever the targets are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from qingtiao.models.forward import Feature
from qingtiao.models.inputs import pad

Logits = Any  # numpy float32, shape (outputs,)


def labelled(features: Sequence[dict[str, Any]], labels: Sequence[Any]) -> list[dict[str, Any]]:
    """Features that know what the head is to give for them: a class id, or a number for each output."""
    return [{**feature, "labels": label} for feature, label in zip(features, labels, strict=True)]


def head_batch(features: Sequence[Feature], tokenizer: Any, *, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The padded inputs, and `labels` as `dtype` where the features bear any."""
    batch = pad(features, tokenizer)
    if "labels" in features[0]:
        batch["labels"] = torch.tensor([feature["labels"] for feature in features], dtype=dtype)
    return batch


def head_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The loss that transformers computes for the `problem_type` of the model; a scalar."""
    loss: torch.Tensor = model(**batch).loss
    return loss


def head_logits(model: Any, batch: Mapping[str, torch.Tensor]) -> list[Logits]:
    """What the head gives, an array of shape (outputs,) a row."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    return list(model(**inputs).logits.float().cpu().numpy())
