"""Models and rows that the tests make themselves: tiny, random, seeded, no network."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from qingtiao.config import NormaliseConfig
from qingtiao.data.normalise import Normaliser
from qingtiao.models.base import load_base
from qingtiao.predict import Predictor
from qingtiao.task import find_task
from qingtiao.types import Place, Row

GOOD = [
    "很好吃",
    "真棒",
    "喜欢这家店",
    "服务周到",
    "房间干净",
    "值得推荐",
    "非常满意",
    "惊喜不断",
    "质量不错",
    "下次还来",
]
BAD = [
    "太难吃",
    "真差",
    "讨厌这家店",
    "服务恶劣",
    "房间肮脏",
    "不值一提",
    "非常失望",
    "问题不断",
    "质量堪忧",
    "再也不来",
]
ENDINGS = ["", "！", "。", "，大家看看", "，朋友也这么说", "，昨天刚去过一次，写下来给后来的人参考"]


def labelled_texts() -> list[tuple[str, str]]:
    """120 texts with labels, lengths from 2 to 30."""
    return [
        (text + end, label)
        for end in ENDINGS
        for good_bad in zip(GOOD, BAD, strict=True)
        for text, label in zip(good_bad, ("好", "坏"), strict=True)
    ]


def write_csv(path: Path, rows: list[tuple[str, str]], header: str = "text,label") -> Path:
    lines = [header, *(f'"{text}",{label}' for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def save_char_tokenizer(
    folder: Path, *, bos_eos: bool = False, characters: Sequence[str] | None = None, longest: int = 64
) -> Any:
    """A tokenizer over `characters` (those of the test texts when absent), saved into `folder`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if characters is None:
        characters = sorted({char for text, _ in labelled_texts() for char in text})
    vocabulary = {token: index for index, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {} if bos_eos else {"pad_token": "[PAD]", "mask_token": "[MASK]"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        **names,
    )
    fast.model_input_names = ["input_ids", "attention_mask"]
    fast.save_pretrained(folder)
    return fast


def save_byte_tokenizer(folder: Path, *, extra: Sequence[str] = (), texts: Iterable[str] = ()) -> Any:
    """A byte-level BPE of about 400 tokens as decoders have, saved into `folder`: nothing added to texts, no pad token.

    `extra` are special tokens; their ids begin at 5.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "<|im_start|>", "<|endoftext|>", "<|im_end|>", *extra]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*(text for text, _ in labelled_texts()), *texts], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        eos_token="<|endoftext|>",
        additional_special_tokens=special[4:],
    )
    fast.model_input_names = ["input_ids", "attention_mask"]
    fast.save_pretrained(folder)
    return fast


def save_tiny_base(folder: Path) -> None:
    """A two-layer random BERT encoder and a character tokenizer."""
    from transformers import BertConfig, BertModel

    tokenizer = save_char_tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the events tell of this step, or the process has ended."""
    log = out / "events.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and f'"event": "step", "step": {step},' in log.read_text(encoding="utf-8"):
            return
        time.sleep(0.01)
    assert process.poll() is not None, f"step {step} never came"


def random_predictor(base: str) -> Predictor:
    """The base with a random head for 负面 and 正面."""
    kind = find_task("text_classification")
    rows = [Row("甲", label, Place("memory", index)) for index, label in enumerate(("负面", "正面") * 2)]
    task = kind.fit(rows, kind.Options())
    torch.manual_seed(3)
    loaded = load_base(base, revision=None, auto_class=task.auto_class, model_options=task.model_options())
    return Predictor(
        task=task,
        model=loaded.model.eval(),
        tokenizer=loaded.tokenizer,
        normaliser=Normaliser(NormaliseConfig()),
        max_length=32,
        device=torch.device("cpu"),
        precision="fp32",
    )
