"""Images with questions as the inputs of a language model that sees (Qwen-VL and its kin).

Such a model reads an image as a run of equal tokens in the conversation, one for every few patches of it; the patches
themselves are given beside. The conversation is written by the tokenizer's own template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from qingtiao.errors import BaseModelError, DataError
from qingtiao.models.causal import IGNORED
from qingtiao.models.chat_template import ChatFormat, Message, with_image
from qingtiao.models.inputs import padded_labels
from qingtiao.models.processor import ImagesAndText
from qingtiao.types import Row
from qingtiao.vision.files import image_size, open_image

INPUTS = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw")


def encode_prompts(
    rows: Sequence[Row], processor: ImagesAndText, *, max_length: int, image_tokens: int, new_tokens: int
) -> list[dict[str, Any]]:
    """A feature a row. Pixels stay in the file until `collate_prompts`.

    Args:
        rows: with the image's source in `fields["image"]`, the question in `fields["question"]` and the answer, if
            it is known, first in `target`.
        max_length: of the whole: image, question and answer, or room for `new_tokens` of one.
        image_tokens: what one image may take of that; larger images are scaled down to it.

    Raises:
        BaseModelError: the base reads images in another way.
        DataError: an image cannot be read, or `max_length` is too short for any question, with the place.
    """
    if not rows:
        return []
    pixels = _pixels(processor, tokens=min(image_tokens, max_length // 2))
    chat = ChatFormat(processor.tokenizer, thinking=False)
    return [
        _feature(
            row, chat, processor, pixels=pixels, max_length=max_length, new_tokens=min(new_tokens, max_length // 4)
        )
        for row in rows
    ]


def collate_prompts(features: Sequence[Mapping[str, Any]], processor: ImagesAndText) -> dict[str, torch.Tensor]:
    """The batch: texts padded on the right to be judged, on the left to be gone on from; patches of all images.

    `mm_token_type_ids` (rows, length) is 1 where a token stands for a piece of an image, `pixel_values` (patches of all
    rows, values of one) and `image_grid_thw` (rows, 3) say what it shows.

    Raises:
        DataError: an image cannot be read, with its place.
    """
    asked = "labels" not in features[0]
    inputs = [{"input_ids": feature["input_ids"]} for feature in features]
    batch: dict[str, torch.Tensor] = dict(
        processor.tokenizer.pad(inputs, padding=True, return_tensors="pt", padding_side="left" if asked else "right")
    )
    batch["mm_token_type_ids"] = batch["input_ids"].eq(int(processor.image_token_id or 0)).int()
    # One by one: a batch of large pictures need not fit in memory before they are resized.
    seen = [
        processor.image_processor([open_image(feature["image"], feature["place"])], size=dict(feature["pixels"]))
        for feature in features
    ]
    for name in ("pixel_values", "image_grid_thw"):
        batch[name] = torch.as_tensor(np.concatenate([np.asarray(one[name]) for one in seen]))
    if not asked:
        return {**batch, "labels": padded_labels(features, batch["input_ids"].shape[1])}
    return batch | {name: torch.tensor(features[0][name]) for name in ("new_tokens", "stop_ids")}


def _pixels(processor: ImagesAndText, *, tokens: int) -> dict[str, int]:
    """The fewest and most pixels of an image, in the words of the image processor.

    Raises:
        BaseModelError: it is not one that makes tokens of squares of patches.
    """
    images = processor.image_processor
    if processor.image_token_id is None or not hasattr(images, "get_number_of_image_patches"):
        raise BaseModelError(
            f"基座的图片处理器 {type(images).__name__} 不是 Qwen-VL 那样的",
            f"The image processor of the base, {type(images).__name__}, is not of Qwen-VL's kind",
            todo_zh="换一个基座，例如 Qwen/Qwen3-VL-2B-Instruct。",
            todo_en="Use another base, for example Qwen/Qwen3-VL-2B-Instruct.",
        )
    square = (images.patch_size * images.merge_size) ** 2
    most = min(int(images.size["longest_edge"]), max(1, tokens) * square)
    return {"shortest_edge": min(int(images.size["shortest_edge"]), most), "longest_edge": most}


def _feature(
    row: Row,
    chat: ChatFormat,
    processor: ImagesAndText,
    *,
    pixels: Mapping[str, int],
    max_length: int,
    new_tokens: int,
) -> dict[str, Any]:
    images, source = processor.image_processor, str(row.fields["image"])
    width, height = image_size(source, row.place)
    limits = {"min_pixels": pixels["shortest_edge"], "max_pixels": pixels["longest_edge"]}
    patches = int(images.get_number_of_image_patches(height, width, limits))
    pieces = patches // images.merge_size**2
    question: Message = {"role": "user", "content": with_image(str(row.fields["question"]))}
    feature: dict[str, Any] = {"image": source, "place": str(row.place), "pixels": dict(pixels)}
    room = max_length - pieces + 1  # the template writes one token for the image, whatever its size
    with _errors_with_their_place(row):
        if row.target is None:
            ids, cut = chat.prompt([question], room - new_tokens)
            learnt = [False] * len(ids)
            feature |= {"new_tokens": new_tokens, "stop_ids": chat.stop_ids}
        else:
            (ids, learnt), cut = chat.fitted([question, {"role": "assistant", "content": row.target[0]}], room)
        place = _place_of_image(ids, int(processor.image_token_id or 0), max_length=max_length)
    if row.target is not None:
        labels = [token if said else IGNORED for token, said in zip(ids, learnt, strict=True)]
        feature["labels"] = [*labels[:place], *[IGNORED] * pieces, *labels[place + 1 :]]
    ids = [*ids[:place], *[ids[place]] * pieces, *ids[place + 1 :]]
    return {**feature, "input_ids": ids, "cut": cut, "cost": len(ids) + patches}


def _place_of_image(ids: Sequence[int], image_token: int, *, max_length: int) -> int:
    if image_token in ids:
        return list(ids).index(image_token)
    raise DataError(
        f"对话模板没有在 {max_length} 个词元里写出图片",
        f"Within {max_length} tokens the chat template writes no image",
        todo_zh="调大 --set base.max_length；如果还不行，这个基座的对话模板不认图片。",
        todo_en="Raise --set base.max_length; if that does not help, the template of this base knows no images.",
    )


@contextmanager
def _errors_with_their_place(row: Row) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(
            f"{row.place}：{error.zh}", f"{row.place}: {error.en}", todo_zh=error.todo_zh, todo_en=error.todo_en
        ) from None
