"""A small Chinese-CLIP with random weights, for seeing image tasks at work where no large base is at hand.

    python benchmarks/tasks/dishes_base.py DISHES/dishes.jsonl FOLDER

makes a base of 0.8M parameters in FOLDER: 48 x 48 pixels in patches of 8, three layers of 128 for images and two for
texts, and a tokenizer of the characters that stand in the file. It knows nothing before it is trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import ChineseCLIPConfig, ChineseCLIPModel, ChineseCLIPProcessor, PreTrainedTokenizerFast
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

from qingtiao.data.read import read_records

SIDE, PATCH, LONGEST = 48, 8, 32
LAYERS = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    texts = [str(cell) for record in read_records(given.data) for cell in record.fields.values()]
    print(f"{save(given.folder, sorted(set(''.join(texts)))):,} parameters in {given.folder}")


def save(folder: Path, characters: list[str]) -> int:
    """The base's files; how many parameters it has."""
    tokenizer = character_tokenizer(characters)
    config = ChineseCLIPConfig(
        text_config={
            **LAYERS,
            "num_hidden_layers": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": LONGEST,
            "bos_token_id": tokenizer.cls_token_id,
        },
        vision_config={**LAYERS, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": PATCH},
        projection_dim=64,
    )
    torch.manual_seed(0)
    model = ChineseCLIPModel(config)
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    images = ChineseCLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    ChineseCLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def character_tokenizer(characters: list[str]) -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: number for number, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **names)


if __name__ == "__main__":
    main()
