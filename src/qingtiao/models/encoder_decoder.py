"""What encoder-decoders compute: how likely a known text is, token by token, and a text of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

IGNORED = -100  # a label that nothing is learnt from

# Logits are rows times target tokens times vocabulary: a batch made for the encoder would not fit with mT5's 250,000.
_ROWS_OF_LOGITS = 16
_ROWS_OF_BEAMS = 64  # and the logits of one token times rows times beams
# Lengths that a base's own `generation_config` may ask for: those of the data it was last trained on.
_SET_ASIDE = {"max_length": None, "min_length": 0, "min_new_tokens": None}
_INPUTS = ("input_ids", "attention_mask")
# Chinese characters and full-width marks; between these nobody writes spaces.
_WIDE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef“”‘’…—·"
_NEEDLESS_SPACE = re.compile(f"(?<=[{_WIDE}]) +| +(?=[{_WIDE}])")


def mean_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy over the labels of the batch, a scalar, in nats; no label smoothing."""
    logits = _logits(model, batch)
    return functional.cross_entropy(logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)


def log_probabilities(model: Any, batch: Mapping[str, torch.Tensor]) -> list[NDArray[np.float32]]:
    """For each row the log-probability of each of its labels given those before it, in nats."""
    found: list[NDArray[np.float32]] = []
    for part in _slices(batch, _ROWS_OF_LOGITS):
        labels = part["labels"]
        logits = _logits(model, part).float()
        losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        found += [-row[kept].cpu().numpy() for row, kept in zip(losses, labels != IGNORED, strict=True)]
    return found


def written(model: Any, batch: Mapping[str, torch.Tensor], *, beams: int, **settings: Any) -> list[NDArray[np.float32]]:
    """The token ids that the model writes for each row, its start token first, filled with padding.

    Without sampling; `settings` are those of `generate`. As float32, which holds any id of a vocabulary exactly.
    """
    found: list[NDArray[np.float32]] = []
    rows = max(1, _ROWS_OF_BEAMS // max(1, beams))
    for part in _slices({name: batch[name] for name in _INPUTS}, rows):
        ids = model.generate(**part, do_sample=False, num_beams=beams, **_SET_ASIDE, **settings)
        found += list(ids.to(torch.float32).cpu().numpy())
    return found


def texts_of_ids(rows: Sequence[NDArray[Any]], tokenizer: Any) -> list[str]:
    """Token ids as texts, without special tokens and without spaces that nobody would write in Chinese."""
    plain = [row.astype(np.int64).tolist() for row in rows]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and backend.decoder is None:
        # It says nothing of where spaces were: its tokens, put together.
        return ["".join(tokenizer.convert_ids_to_tokens(row, skip_special_tokens=True)) for row in plain]
    texts = [str(tokenizer.decode(row, skip_special_tokens=True)).strip() for row in plain]
    if " " in tokenizer.decode(tokenizer("文本", add_special_tokens=False)["input_ids"]).strip():
        return [_NEEDLESS_SPACE.sub("", text) for text in texts]
    return texts


def ends(row: NDArray[Any], tokenizer: Any) -> bool:
    """Whether a written row came to its end, rather than to the limit of its length."""
    return int(row[-1]) in tokenizer.all_special_ids


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Shape (rows, target tokens, vocabulary)."""
    from accelerate.utils import extract_model_from_parallel

    inputs = {name: batch[name] for name in _INPUTS}
    shifted = getattr(extract_model_from_parallel(model), "prepare_decoder_input_ids_from_labels", None)
    labels = batch["labels"]
    # The loss is ours: given labels, some models warn and all compute it once more. A few can only shift inside.
    targets = {"labels": labels} if shifted is None else {"decoder_input_ids": shifted(labels=labels)}
    logits: torch.Tensor = model(**inputs, **targets, use_cache=False).logits
    return logits


def _slices(batch: Mapping[str, torch.Tensor], rows: int) -> Iterator[dict[str, torch.Tensor]]:
    for start in range(0, len(batch["input_ids"]), rows):
        yield {name: tensor[start : start + rows] for name, tensor in batch.items()}
