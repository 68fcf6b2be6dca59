"""What reads a base's text and images, from the files that bases really come with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import (
    CAUSAL,
    CLASSES,
    EMBEDDING,
    IMAGE_TO_TEXT,
    SEQ2SEQ,
    build_architecture,
    load_options,
    save_architecture,
)
from tiny import labelled_texts, save_byte_tokenizer

from qingtiao.errors import BaseModelError, EnvironmentLack
from qingtiao.models.base import LoadedBase, load_base
from qingtiao.models.processor import stored_processor, tokenizer_of

TEXT = "这家店很好吃"


def load(folder: Path, auto_class: str, **options: Any) -> LoadedBase:
    return load_base(
        str(folder), revision=None, auto_class=auto_class, model_options=load_options(auto_class), **options
    )


def read_back(tokenizer: Any) -> str:
    ids = tokenizer(TEXT)["input_ids"]
    return str(tokenizer.decode(ids, skip_special_tokens=True)).replace(" ", "")


def save_vocab_txt(folder: Path) -> int:
    """BERT's file and no other; how many tokens it holds."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({c for text, _ in labelled_texts() for c in text})]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return len(tokens)


@pytest.mark.parametrize(
    ("name", "auto_class"),
    [
        ("bert", CLASSES),
        ("ernie", CLASSES),
        ("megatron_bert", CLASSES),
        ("deberta_v2", CLASSES),
        ("roberta", CLASSES),
        ("bart", SEQ2SEQ),
        ("t5", SEQ2SEQ),
        ("gpt2", CAUSAL),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_chinese_bases_with_a_vocab_txt(name: str, auto_class: str, named: bool, tmp_path: Path) -> None:
    size = save_vocab_txt(tmp_path)
    build_architecture(name, vocabulary=size).save_pretrained(tmp_path)
    if named:
        (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    base = load(tmp_path, auto_class)
    assert len(base.tokenizer) == size
    assert read_back(base.tokenizer) == TEXT
    pair = base.tokenizer("真棒", "不好", return_tensors="pt")
    assert ("token_type_ids" in pair) is (name in {"bert", "ernie", "megatron_bert"})
    assert torch.isfinite(
        base.model(**pair, **({"labels": pair["input_ids"]} if auto_class == SEQ2SEQ else {})).logits
    ).all()
    base.tokenizer.save_pretrained(tmp_path / "saved")
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(TEXT) == base.tokenizer(TEXT)


@pytest.mark.parametrize("settings", [{}, {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}])
def test_a_sentencepiece_model(settings: dict[str, Any], tmp_path: Path) -> None:
    pieces = save_sentencepiece(tmp_path)
    build_architecture("mt5", vocabulary=pieces + 12).save_pretrained(tmp_path)
    if settings:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    base = load(tmp_path, SEQ2SEQ)
    assert read_back(base.tokenizer) == TEXT
    assert base.tokenizer(TEXT)["input_ids"][-1] == base.tokenizer.eos_token_id


def save_sentencepiece(folder: Path) -> int:
    """A unigram model over the test texts as `spiece.model`; how many pieces it holds."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece 没有装 | is not installed")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text, _ in labelled_texts()]),
        model_prefix=str(folder / "spiece"),
        vocab_size=100,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return len((folder / "spiece.vocab").read_text(encoding="utf-8").splitlines())


def test_a_package_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = save_sentencepiece(tmp_path)
    build_architecture("mt5", vocabulary=pieces).save_pretrained(tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sentencepiece" else found(name, *rest)
    )
    from transformers.utils import import_utils

    import_utils.is_sentencepiece_available.cache_clear()
    try:
        with pytest.raises(EnvironmentLack, match="sentencepiece"):
            load(tmp_path, SEQ2SEQ)
    finally:
        import_utils.is_sentencepiece_available.cache_clear()


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    save_byte_tokenizer(tmp_path)
    build_architecture("bert", vocabulary=21_128).save_pretrained(tmp_path)
    with pytest.raises(BaseModelError, match=r"400 .*21128"):
        load(tmp_path, CLASSES)


def test_a_tokenizer_without_any_token_to_spare_gets_padding(tmp_path: Path) -> None:
    save_architecture("gpt2", tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "eos_token": None}), encoding="utf-8")
    base = load(tmp_path, CLASSES)
    assert base.tokenizer.pad_token is not None
    assert base.model.config.pad_token_id == base.tokenizer.pad_token_id < len(base.tokenizer)
    batch = base.tokenizer.pad([{"input_ids": [9]}, {"input_ids": [9, 10]}], return_tensors="pt")
    assert base.model(**batch).logits.shape == (2, 3)


def test_images_and_text_are_read_without_torchvision(tmp_path: Path) -> None:
    from PIL import Image

    save_architecture("chinese_clip", tmp_path)
    base = load(tmp_path, EMBEDDING, processor_class="AutoProcessor")
    tokenizer, images = tokenizer_of(base.tokenizer), base.tokenizer.image_processor
    assert type(images).__name__.endswith("Pil")
    batch = dict(tokenizer([TEXT, "真棒"], padding=True, return_tensors="pt"))
    batch |= images([Image.new("RGB", (40, 30))] * 2, return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 3, 16, 16)
    assert base.model(**batch).logits_per_image.shape == (2, 2)
    base.tokenizer.save_pretrained(tmp_path / "saved")
    again = stored_processor(str(tmp_path / "saved"), processor_class="AutoProcessor")
    assert again.tokenizer([TEXT])["input_ids"] == tokenizer([TEXT])["input_ids"]
    assert again.image_processor.to_dict() == images.to_dict()


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_a_base_that_reads_videos_too_is_read_without_them(name: str, tmp_path: Path) -> None:
    save_architecture(name, tmp_path)
    base = load(tmp_path, IMAGE_TO_TEXT, processor_class="AutoProcessor")
    assert base.tokenizer.image_token_id == base.model.config.image_token_id == 5
    assert type(base.tokenizer.image_processor).__name__ == "Qwen2VLImageProcessorPil"


def test_a_base_without_images_is_refused_where_images_are_wanted(tmp_path: Path) -> None:
    save_architecture("bert", tmp_path)
    with pytest.raises(BaseModelError, match="图片"):
        load(tmp_path, EMBEDDING, processor_class="AutoProcessor")
