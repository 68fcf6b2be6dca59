"""A small base of images and text with random weights, for seeing image tasks at work where no large one is at hand.

    python benchmarks/tasks/small_image_base.py clip DATA.jsonl FOLDER
    python benchmarks/tasks/small_image_base.py vl DATA.jsonl FOLDER

`clip` is a Chinese-CLIP of 0.8M parameters: 48 x 48 pixels in patches of 8, three layers of 128 for images, two for
texts. `vl` is a Qwen3-VL of 1.6M: patches of 8, merged two by two, about nine tokens an image; three layers of 128 on
either side. Their tokenizer knows the characters that stand in the file. They know nothing before they are trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    ChineseCLIPConfig,
    ChineseCLIPModel,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from qingtiao.data.read import read_records

SIDE = 48
LAYERS = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VISION = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>")
QUESTIONS = "这张图里有什么？道菜属于哪一类user assistant"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }} "
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("clip", "vl"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    cells = [str(cell) for record in read_records(given.data) for cell in record.fields.values()]
    characters = sorted(set("".join([*cells, QUESTIONS])))
    torch.manual_seed(0)
    model = {"clip": save_clip, "vl": save_vl}[given.kind](given.folder, characters)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters in {given.folder}")


def save_clip(folder: Path, characters: list[str]) -> Any:
    longest = 32
    tokenizer = character_tokenizer(SPECIAL, characters, longest=longest, frame="[CLS] $A [SEP]")
    config = ChineseCLIPConfig(
        text_config={
            **LAYERS,
            "num_hidden_layers": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": longest,
            "bos_token_id": tokenizer.cls_token_id,
        },
        vision_config={**LAYERS, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": 8},
        projection_dim=64,
    )
    size = {"height": SIDE, "width": SIDE}
    images = ChineseCLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    return _saved(folder, ChineseCLIPModel(config), tokenizer, images)


def save_vl(folder: Path, characters: list[str]) -> Any:
    longest = 256
    tokenizer = character_tokenizer((*SPECIAL, *VISION), characters, longest=longest, frame="$A")
    tokenizer.chat_template = TEMPLATE
    numbers = dict(zip(VISION, tokenizer.convert_tokens_to_ids(list(VISION)), strict=True))
    config = Qwen3VLConfig(
        text_config={
            **LAYERS,
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": longest,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": numbers["<|im_end|>"],
        },
        vision_config={
            "hidden_size": LAYERS["hidden_size"],
            "intermediate_size": LAYERS["intermediate_size"],
            "num_heads": LAYERS["num_attention_heads"],
            "depth": 3,
            "patch_size": 8,
            "out_hidden_size": LAYERS["hidden_size"],
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [1],
        },
        image_token_id=numbers["<|image_pad|>"],
        video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"],
        vision_end_token_id=numbers["<|vision_end|>"],
    )
    size = {"shortest_edge": SIDE**2, "longest_edge": SIDE**2}
    images = Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, temporal_patch_size=2, size=size)
    return _saved(folder, Qwen3VLForConditionalGeneration(config), tokenizer, images)


def character_tokenizer(special: tuple[str, ...], characters: list[str], *, longest: int, frame: str) -> Any:
    vocabulary = {token: number for number, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=frame, special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        additional_special_tokens=[token for token in special if token.startswith("<|")],
        **names,
    )


def _saved(folder: Path, model: Any, tokenizer: Any, images: Any) -> Any:
    for part in (model, tokenizer, images):
        part.save_pretrained(folder)
    return model


if __name__ == "__main__":
    main()
