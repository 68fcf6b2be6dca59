"""Vocabulary, tokenizer, token streams and the co-occurrence embeddings that training starts from."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
LONGEST_PIECE = 4  # characters: words and short phrases, never clauses
ALPHABET = 5400  # single characters; the rest of the vocabulary is longer pieces
# Characters read when the pieces are counted. Reviews are few and matter most: all of them.
SAMPLE = {
    "reviews": 10_000_000,
    "dialogue": 6_000_000,
    "tech": 2_000_000,
    "books": 3_000_000,
    "modern_prose": 1_000_000,
}
# Weights of the co-occurrence counts, against the classical prose drowning the colloquial text.
COUNT_WEIGHT = {"reviews": 8.0, "dialogue": 2.0, "tech": 1.0, "books": 0.3, "modern_prose": 0.3}
# Runs of one script, single digits, single marks: no piece crosses from one to another.
PRE_TOKEN = r"[\u4e00-\u9fff]+|[a-z]+|[0-9]|[^\s\u4e00-\u9fffa-z0-9]"
# Reviews are full of these and the corpus is not: give them a row of their own rather than [UNK].
EMOJI = (
    "👍👎😀😁😂🤣😃😄😅😆😉😊😋😎😍😘🥰😐😑😒😓😔😕😖😞😟😠😡😢😣😤😥😨"
    "😩😪😫😭😱😳😴🙂🙃🙄🤔🤢🤮🤬🤗🤩🥺🤦🤷👌👏🙏💪💔💯🔥✨⭐🌟🎉💩👻🐶🌹"
)


def train_pieces(corpus: Mapping[str, list[str]], size: int, seed: int) -> Any:
    """Byte-pair pieces of at most `LONGEST_PIECE` characters over the sampled corpus."""
    from tokenizers import Tokenizer, models, trainers

    def runs() -> Iterator[str]:
        for name, texts in corpus.items():
            budget = SAMPLE[name]
            for text in random.Random(seed).sample(texts, len(texts)):
                budget -= len(text)
                if budget < 0:
                    break
                yield from re.findall(PRE_TOKEN, text)

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    ascii_letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        max_token_length=LONGEST_PIECE,
        limit_alphabet=ALPHABET,
        initial_alphabet=ascii_letters + list(EMOJI),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    tokenizer.train_from_iterator(runs(), trainer)
    return with_pipeline(tokenizer)


def with_pipeline(tokenizer: Any) -> Any:
    from tokenizers import Regex, normalizers, pre_tokenizers, processors

    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(PRE_TOKEN), "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return tokenizer


def traditional_twins(vocabulary: Mapping[str, int]) -> dict[str, str]:
    """Traditional characters that the corpus hardly shows, each with the simplified one it stands for."""
    import opencc

    simplify = opencc.OpenCC("t2s").convert
    twins = {}
    for code in range(0x4E00, 0xA000):
        char = chr(code)
        simple = simplify(char)
        if simple != char and simple in vocabulary and char not in vocabulary and _in_big5(char):
            twins[char] = simple
    return twins


def _in_big5(char: str) -> bool:
    try:
        char.encode("big5")
    except UnicodeEncodeError:
        return False
    return True


def save_tokenizer(tokenizer: Any, folder: Path, longest: int) -> None:
    """A folder that any `AutoTokenizer` reads."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    fast.model_input_names = ["input_ids", "attention_mask"]
    fast.save_pretrained(folder)


def encode(tokenizer: Any, texts: list[str], dropout: float | None) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """All texts as one stream, each closed by [SEP], and where each begins (one more entry than texts).

    With `dropout`, merges are skipped at that rate (BPE-dropout, Provilkov et al. 2020): the model also meets words
    as single characters, which is how it will meet rare names, typing errors and tagged characters. The library takes
    no seed for this, so two prepared folders differ in these streams.
    """
    tokenizer.model.dropout = dropout
    parts = [np.empty(0, dtype=np.uint16)]
    for begin in range(0, len(texts), 2000):
        for encoding in tokenizer.encode_batch(texts[begin : begin + 2000], add_special_tokens=False):
            parts.append(np.array([*encoding.ids, SEP], dtype=np.uint16))
    tokenizer.model.dropout = None
    return np.concatenate(parts), np.cumsum([len(part) for part in parts], dtype=np.int64)


def cooccurrence_embeddings(
    streams: Mapping[str, NDArray[np.uint16]], vocab: int, width: int, seed: int, window: int = 4
) -> NDArray[np.float32]:
    """PPMI factorisation of a window of ±4, which skip-gram approximates (Levy & Goldberg 2014).

    Returns:
        Array of shape (vocab, width) whose entries have a standard deviation of 0.05.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    counts = sparse.csr_matrix((vocab, vocab), dtype=np.float32)
    for name, stream in streams.items():
        for piece in np.array_split(stream.astype(np.int64), max(1, len(stream) // 3_000_000)):
            for distance in range(1, window + 1):
                pairs, times = np.unique(piece[:-distance] * vocab + piece[distance:], return_counts=True)
                weights = (times * (COUNT_WEIGHT[name] / distance)).astype(np.float32)
                counts = counts + sparse.csr_matrix((weights, (pairs // vocab, pairs % vocab)), shape=(vocab, vocab))
    keep = np.ones(vocab, dtype=np.float32)
    keep[: len(SPECIAL)] = 0
    table = (sparse.diags(keep) @ (counts + counts.T) @ sparse.diags(keep)).tocoo()
    rows = np.asarray(table.sum(1)).ravel()
    columns = rows**0.75
    information = np.log(table.data * columns.sum() / (rows[table.row] * columns[table.col]))
    positive = information > 0
    ppmi = sparse.csr_matrix((information[positive], (table.row[positive], table.col[positive])), shape=(vocab, vocab))
    left, singular, _ = randomized_svd(ppmi, n_components=width, n_iter=3, random_state=seed)
    vectors = left * np.sqrt(singular)
    # Rare words keep their direction; their length, which only tells their frequency, is evened out.
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(lengths > 0, vectors / np.maximum(lengths, 1e-9) ** 0.5, 0)
    vectors *= 0.05 / vectors.std()
    unseen = lengths[:, 0] == 0
    vectors[unseen] = np.random.default_rng(seed).normal(0, 0.02, (int(unseen.sum()), width))
    return vectors.astype(np.float32)
