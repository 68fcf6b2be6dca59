"""A tiny random base for each Auto class that a task may ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from architectures import build_architecture, save_architecture, save_clip_processor
from tiny import save_char_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
}


def _encoder(vocabulary: int) -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(vocab_size=vocabulary, **SIZES), add_pooling_layer=False)


def _decoder(vocabulary: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, **SIZES, **special
        )
    )


def _encoder_decoder(vocabulary: int) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=vocabulary,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


BUILDERS: dict[str, Callable[[int], Any]] = {
    "AutoModelForSequenceClassification": _encoder,
    "AutoModelForTokenClassification": _encoder,
    "AutoModelForCausalLM": _decoder,
    "AutoModelForSeq2SeqLM": _encoder_decoder,
    "AutoModel": lambda vocabulary: build_architecture("chinese_clip", vocabulary=vocabulary),
    "AutoModelForImageTextToText": lambda vocabulary: build_architecture("qwen3_vl", vocabulary=vocabulary),
}


def save_base(folder: Path, auto_class: str, texts: Iterable[str]) -> None:
    """A base that `auto_class` loads, with a tokenizer over the characters of `texts`."""
    if auto_class == "AutoModelForImageTextToText":
        # Of the samples' pictures no word is to be learnt.
        save_architecture("qwen3_vl", folder, texts=[re.sub(r"data:[^']*", "", text) for text in texts])
        return
    tokenizer = save_char_tokenizer(folder, characters=sorted(set("".join(texts))), longest=256)
    torch.manual_seed(0)
    BUILDERS[auto_class](len(tokenizer)).save_pretrained(folder)
    if auto_class == "AutoModel":
        save_clip_processor(folder, tokenizer)
