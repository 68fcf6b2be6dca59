"""Images and texts as the inputs, loss and embeddings of a contrastive dual encoder (CLIP and its kin)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from qingtiao.models.inputs import encode_texts
from qingtiao.models.processor import tokenizer_of
from qingtiao.types import Row
from qingtiao.vision.files import open_image

_PATCH = 16  # pixels a side of what a vision transformer usually takes for one token; bounds memory, no more
_INPUTS = ("input_ids", "attention_mask", "pixel_values")


def encode_pairs(
    rows: Sequence[Row], candidates: Sequence[Sequence[str]], processor: Any, *, max_length: int
) -> list[dict[str, Any]]:
    """A feature a row. Pixels stay in the file until `collate_pairs`: all images of a set seldom fit in memory.

    Args:
        rows: with the image's source in `fields["image"]` and their text, all or none, in `fields["caption"]`.
        candidates: texts that the row's image is to be compared with.
    """
    tokenizer, known = tokenizer_of(processor), dict[tuple[str, ...], tuple[tuple[int, ...], ...]]()
    patches = (image_side(processor) // _PATCH) ** 2
    texts_given = [row.fields["caption"] for row in rows if row.fields["caption"] is not None]
    captions = encode_texts(tokenizer, texts_given, max_length=max_length)
    features: list[dict[str, Any]] = captions or [{"input_ids": []} for _ in rows]
    paired = bool(captions)
    for feature, row, texts in zip(features, rows, map(tuple, candidates), strict=True):
        if texts not in known:
            known[texts] = tuple(
                tuple(one["input_ids"]) for one in encode_texts(tokenizer, texts, max_length=max_length)
            )
        feature["image"], feature["place"] = row.fields["image"], str(row.place)
        feature["paired"], feature["candidates"] = paired, known[texts]
        feature["cost"] = patches + len(feature["input_ids"]) + 1
    return features


def collate_pairs(features: Sequence[Mapping[str, Any]], processor: Any) -> dict[str, torch.Tensor]:
    """The batch: `pixel_values` of its images; `input_ids` of its captions, then of every candidate, once each.

    With captions, `same` (rows,) numbers them so that equal ones share a number. With candidates, `picked` (rows, most
    candidates) says which texts each row chooses among, filled with -1. `labels` (rows,) are indices into that choice.

    Raises:
        DataError: an image cannot be read, with its place.
    """
    captions = [tuple(feature["input_ids"]) for feature in features if feature["paired"]]
    numbers: dict[tuple[int, ...], int] = {}
    offered = [[numbers.setdefault(one, len(numbers)) for one in feature["candidates"]] for feature in features]
    texts = [{"input_ids": list(ids)} for ids in (*captions, *numbers)]
    padded = tokenizer_of(processor).pad(texts, padding=True, return_tensors="pt")
    side = 2 * image_side(processor)
    # One by one: a batch of large pictures, hostile ones among them, need not fit in memory before they are resized.
    pixels = [
        processor.image_processor([open_image(feature["image"], feature["place"], at_least=side)])["pixel_values"][0]
        for feature in features
    ]
    batch = {
        "input_ids": padded["input_ids"],
        "attention_mask": padded["attention_mask"],
        "pixel_values": torch.as_tensor(np.stack(pixels)),
    }
    if captions:
        batch["same"] = torch.tensor([captions.index(caption) for caption in captions])
    if numbers:
        picked = torch.full((len(features), max(map(len, offered))), -1)
        for row, some in enumerate(offered):
            picked[row, : len(some)] = torch.tensor(some) + len(captions)
        batch["picked"] = picked
    if any(feature.get("labels", -100) >= 0 for feature in features):
        batch["labels"] = torch.tensor([feature["labels"] for feature in features])
    return batch


def pair_loss(model: Any, batch: Mapping[str, torch.Tensor], *, label_weight: float) -> torch.Tensor:
    """The contrastive loss over the batch, plus `label_weight` times that of choosing the label, where there is one."""
    logits = _forward(model, batch).logits_per_image.float()
    loss = paired_cross_entropy(logits[:, : len(logits)], batch["same"])
    if "labels" in batch and label_weight:
        loss = loss + label_weight * cross_entropy(logits.gather(1, batch["picked"]), batch["labels"])
    return loss


def paired_cross_entropy(logits: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """The symmetric contrastive loss of logits (images, texts); rows that share a number in `same` are all right.

    With no two texts alike it is CLIP's own loss (Radford et al. 2021). Alike ones would there be taught apart; here
    they share the target, as in Yang et al. 2022, "Unified contrastive learning in image-text-label space".
    """
    alike = (same[:, None] == same[None, :]).to(logits.dtype)
    targets = alike / alike.sum(dim=1, keepdim=True)
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2


def pair_outputs(model: Any, batch: Mapping[str, torch.Tensor]) -> list[NDArray[np.float32]]:
    """A row: with captions the image's unit embedding times the logit scale and the text's; then candidates' logits."""
    found = _forward(model, batch)
    parts = []
    if "same" in batch:
        parts += [found.image_embeds * model.logit_scale.exp(), found.text_embeds[: len(batch["same"])]]
    if "picked" in batch:
        parts.append(found.logits_per_image.gather(1, batch["picked"].clamp(min=0)))
    table = torch.cat([part.float() for part in parts], dim=1).cpu().numpy()
    if "picked" not in batch:
        return list(table)
    missing = (batch["picked"] < 0).sum(dim=1).tolist()
    return [row[: len(row) - fewer] for row, fewer in zip(table, missing, strict=True)]


def image_side(processor: Any) -> int:
    """Pixels a side of the images that the model is given, the shorter one if they differ."""
    images = processor.image_processor
    size = dict(images.crop_size if images.do_center_crop and images.crop_size else images.size)
    return min(int(value) for name, value in size.items() if value and name in ("height", "width", "shortest_edge"))


def _forward(model: Any, batch: Mapping[str, torch.Tensor]) -> Any:
    return model(**{name: batch[name] for name in _INPUTS})
