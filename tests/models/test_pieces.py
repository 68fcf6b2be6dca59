"""Pieces and windows: every character is read exactly once, whatever the tokenizer makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtiao.errors import BaseModelError
from qingtiao.models.base import locate
from qingtiao.models.pieces import (
    by_character,
    collate_pieces,
    encode_pieces,
    frame,
    piece_logits,
    pieces_of,
    tag_cross_entropy,
    windows,
)

TEXT = "李鹏总理 今天在北京会见了ＡＢＣ公司 hello①２０\u200b年😀"


@pytest.fixture(scope="module")
def words() -> Any:
    """The tokenizer of mini-zh: pieces of up to four characters."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(locate("mini-zh"))


def byte_tokenizer(folder: Path) -> Any:
    """Byte-level: a Chinese character is three tokens, or one merged with its neighbour."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["北京北京北京天天北京", "hello hello"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    return fast


def read(pieces: Any) -> list[int]:
    return [start for start in pieces.starts if start >= 0]


def test_words_are_cut_into_characters_and_latin_is_not(words: Any) -> None:
    (pieces,) = pieces_of(words, [TEXT], units="characters")
    tokens = words.convert_ids_to_tokens(list(pieces.ids))
    assert tokens[:4] == ["李", "鹏", "总", "理"]
    assert "hel" in tokens and "lo" in tokens
    for token, start in zip(tokens, pieces.starts, strict=True):
        assert start < 0 or token[0] < "一" or token == TEXT[start]
    assert read(pieces) == sorted(set(read(pieces)))
    # Spaces begin nothing; every Chinese character does.
    assert not {index for index, char in enumerate(TEXT) if char == " "} & set(read(pieces))
    assert {index for index, char in enumerate(TEXT) if "一" <= char <= "鿿"} <= set(read(pieces))


def test_pieces_are_left_whole_when_asked(words: Any) -> None:
    (pieces,) = pieces_of(words, [TEXT], units="pieces")
    tokens = words.convert_ids_to_tokens(list(pieces.ids))
    assert tokens[:3] == ["李", "鹏", "总理"]
    assert list(pieces.starts[:4]) == [0, 1, 2, 5]
    assert list(pieces.ids) == words(TEXT, add_special_tokens=False)["input_ids"]


def test_a_character_of_several_tokens_is_read_once(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(tmp_path)
    (whole,) = pieces_of(tokenizer, ["北京鹏 hello"], units="pieces")
    assert whole.starts == (0, 2, -1, -1, 4)  # the space before hello belongs to its piece, but begins nothing
    (pieces,) = pieces_of(tokenizer, ["北京鹏 hello"], units="characters")
    assert read(pieces) == [0, 1, 2, 4]
    assert tokenizer.decode(list(pieces.ids)) == "北京鹏 hello"


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(BaseModelError):
        pieces_of(Slow(), ["一"], units="characters")
    assert pieces_of(Slow(), [], units="characters") == []


def test_special_tokens_are_found_where_they_stand(words: Any, tmp_path: Path) -> None:
    assert frame(words) == ([words.cls_token_id], [words.sep_token_id])
    assert frame(byte_tokenizer(tmp_path)) == ([], [])


@given(count=st.integers(0, 400), size=st.integers(1, 90))
@settings(max_examples=200, deadline=None)
def test_windows_read_every_piece_once_and_within_what_they_see(count: int, size: int) -> None:
    cut = windows(count, size)
    assert [index for _, read_off in cut for index in read_off] == list(range(count))
    for seen, read_off in cut:
        assert len(seen) <= size
        assert set(read_off) <= set(seen)
    if len(cut) > 1 and size >= 8:
        inner = [read_off.start - seen.start for seen, read_off in cut[1:]]
        assert min(inner) >= size // 8


def test_a_long_text_loses_nothing(words: Any) -> None:
    text = "".join(chr(0x4E00 + index % 300) for index in range(500))
    for limit in (10, 64, 512):
        (feature,) = encode_pieces(words, [text], units="characters", max_length=limit)
        assert [start for start in feature["starts"] if start >= 0] == list(range(500))
        assert max(feature["windows"]) <= limit
        assert sum(feature["windows"]) == len(feature["input_ids"]) == len(feature["starts"])
        assert "cut" not in feature
    features = encode_pieces(words, ["", " "], units="characters", max_length=10)
    assert [feature["windows"] for feature in features] == [[2], [2]]


class Echo(torch.nn.Module):
    """Gives back the token it read as its logits, so that a test can see where they went."""

    calls = 0

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **others: Any) -> Any:
        assert not others, others
        assert input_ids.shape == attention_mask.shape
        self.calls += 1

        class Out:
            logits = torch.stack([input_ids, attention_mask], dim=-1).float()

        return Out()


def test_logits_come_back_by_character(words: Any) -> None:
    texts = ["我们在北京", "", "好 hello", "一二三四五六七八九十" * 90]
    features = encode_pieces(words, texts, units="characters", max_length=12)
    batch = collate_pieces(features, words)
    model = Echo()
    with torch.inference_mode():
        tables = by_character(piece_logits(model, batch), batch)
    assert model.calls == 2  # more than 64 windows go in two parts
    assert [table.shape for table in tables] == [(5, 3), (0, 3), (7, 3), (900, 3)]
    assert all(table.dtype == np.float32 for table in tables)
    for text, table in zip(texts, tables, strict=True):
        for char, (begins, token, seen) in zip(text, table, strict=True):
            assert seen == begins
            if "一" <= char <= "鿿":
                assert begins and words.convert_ids_to_tokens(int(token)) == char
    assert tables[2][:, 0].tolist() == [1, 0, 1, 0, 0, 1, 0]


def test_labels_are_padded_and_the_loss_is_that_of_transformers(words: Any) -> None:
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    model = BertForTokenClassification(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=3,
        )
    ).eval()
    features = encode_pieces(words, ["我们在北京", "好"], units="characters", max_length=12)
    for feature in features:
        feature["labels"] = [-100 if start < 0 else start % 3 for start in feature["starts"]]
    batch = collate_pieces(features, words)
    assert batch["labels"].shape == batch["input_ids"].shape == (2, 7)
    theirs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]).loss
    ours = tag_cross_entropy(piece_logits(model, batch), batch["labels"])
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    blank = torch.full_like(batch["labels"], -100)
    assert tag_cross_entropy(piece_logits(model, batch), blank).item() == 0.0
