"""Pre-train `mini-zh`, the embedded base: a character-level BERT small enough to ship in the package.

One command from raw text to the shipped folder::

    python recipes/pretrain_mini_zh.py --corpus CORPUS_DIR --evaluation EVAL_DIR --work runs/mini-zh --out OUT_DIR

`CORPUS_DIR` holds `NAME.txt.xz` files, one document a line, with `␤` for line breaks inside a document.
Every text file below `EVAL_DIR` is held-out material: a document that shares a run of sixteen characters
with it is dropped before anything is counted. Interrupted runs continue from `--work`.

What the recipe rests on, each measured on two cores without a GPU:

* Embeddings start from the corpus' own co-occurrence statistics: with random ones a model this small sits
  on the character-frequency plateau (loss 5.5) for its first seven million tokens.
* Small batches (2k tokens): at this budget the number of updates matters more than their noise.
* Short sequences, for most of the run alone. Position embeddings start as sinusoids, so that those seen only
  in the last part are not noise until then.
* A trapezoidal schedule (Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed
  Training Durations"): constant, then linear to zero, so that the budget can be changed while it runs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import lzma
import math
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Shares of the text kinds, from this share of the budget on: the last part leans to what people will classify.
MIXTURES = ((0.0, {"reviews": 0.40, "dialogue": 0.60}), (0.6, {"reviews": 0.60, "dialogue": 0.40}))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
# Shares of the sequence lengths, from this share of the budget on. What was learnt at 64 does not carry over: the
# loss at 128 begins 1.4 above that at 64, so the longer ones need a good part of the budget while the rate is high.
LENGTHS = ((0.0, {64: 1.0}), (0.6, {64: 0.3, 128: 0.5, 256: 0.2}))
BATCH_TOKENS = 2048
PEAK_LR = 8e-4
WARMUP_STEPS = 300
DECAY_SHARE = 0.4
MASK_RATE = 0.20
# Characters that carry a judgement are masked twice as often, so that the model must read it off the context
# (the idea of SKEP, Tian et al. 2020, with a list of our own).
JUDGEMENT = (
    "好坏差棒烂赞爽爱恨坑垃圾满失望推荐难美丑贵宜值糟糕舒服净脏慢快喜欢讨厌悔精彩无聊"
    "不没太很真假香臭亮破旧新强弱错对怒气哭笑骗"
)
# How much louder than [CLS] itself the mean of the tokens speaks in the pooling layer (see `append_pooling_layer`).
POOL_GAIN = 8.0
WINDOW = 16  # characters two texts must share before one counts as a copy of the other
# Reviews are full of these and the corpus is not: give them a row of their own rather than [UNK].
EMOJI = (
    "👍👎😀😁😂🤣😃😄😅😆😉😊😋😎😍😘🥰😐😑😒😓😔😕😖😞😟😠😡😢😣😤😥😨"
    "😩😪😫😭😱😳😴🙂🙃🙄🤔🤢🤮🤬🤗🤩🥺🤦🤷👌👏🙏💪💔💯🔥✨⭐🌟🎉💩👻🐶🌹"
)


# --- corpus -------------------------------------------------------------------------------------


def clean(text: str) -> str:
    return unicodedata.normalize("NFKC", text.replace("␤", "\n")).lower()


def letters(text: str) -> str:
    """What is compared when looking for copies: no spaces, no punctuation."""
    return "".join(char for char in text if char.isalnum())


def documents(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield clean(line.strip())


def evaluation_texts(root: Path) -> Iterator[str]:
    """Every string that a dev, test or undivided evaluation file holds (training rows are fair game)."""
    for path in sorted(root.rglob("*")):
        name = path.name
        if "pretrain" in path.parts or not path.is_file() or name.startswith("train"):
            continue
        if name.endswith((".csv", ".tsv")):
            with path.open(encoding="utf-8", newline="") as file:
                delimiter, quoting = ("\t", csv.QUOTE_NONE) if name.endswith(".tsv") else (",", csv.QUOTE_MINIMAL)
                for row in csv.reader(file, delimiter=delimiter, quoting=quoting):
                    yield from row
        elif name.endswith(".jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    yield from _strings(json.loads(line))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) and len(item) == 1 for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _strings(item)


def window_hashes(text: str) -> NDArray[np.uint64]:
    """A polynomial hash of every `WINDOW` consecutive characters; empty when the text is shorter."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    count = len(codes) - WINDOW + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(WINDOW):
        hashes = hashes * np.uint64(1099511628211) + codes[offset : offset + count]
    return hashes


def held_out_hashes(root: Path) -> NDArray[np.uint64]:
    parts = [window_hashes(letters(clean(text))) for text in evaluation_texts(root)]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)


def uncontaminated(path: Path, held_out: NDArray[np.uint64]) -> tuple[list[str], int]:
    """The documents of `path` that share no window with the held-out texts, and how many were dropped."""
    kept, dropped = [], 0
    for document in documents(path):
        hashes = window_hashes(letters(document))
        places = np.minimum(np.searchsorted(held_out, hashes), max(len(held_out) - 1, 0))
        if len(held_out) and len(hashes) and bool(np.any(held_out[places] == hashes)):
            dropped += 1
        else:
            kept.append(document)
    return kept, dropped


# --- vocabulary and tokens ----------------------------------------------------------------------


def build_vocabulary(corpus: dict[str, list[str]], size: int) -> list[str]:
    counts = Counter(char for texts in corpus.values() for text in texts for char in text if not char.isspace())
    must = [chr(code) for code in range(33, 127) if not chr(code).isupper()] + list(dict.fromkeys(EMOJI))
    common = [char for char, count in counts.most_common(size) if count >= 3]
    return (SPECIAL + list(dict.fromkeys(must + common)))[:size]


def traditional_twins(vocabulary: list[str]) -> dict[str, str]:
    """Traditional characters that the corpus hardly shows, each with the simplified one it stands for."""
    import opencc

    simplify = opencc.OpenCC("t2s").convert
    known = set(vocabulary)
    twins = {}
    for code in range(0x4E00, 0xA000):
        char = chr(code)
        simple = simplify(char)
        if simple != char and simple in known and char not in known and _in_big5(char):
            twins[char] = simple
    return twins


def _in_big5(char: str) -> bool:
    try:
        char.encode("big5")
    except UnicodeEncodeError:
        return False
    return True


def save_tokenizer(vocabulary: list[str], folder: Path) -> None:
    """A `tokenizer.json` that any `AutoTokenizer` reads: one character, one token."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    fast.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    fast.save_pretrained(folder)


def encode(texts: list[str], vocabulary: list[str]) -> NDArray[np.uint16]:
    """All texts as one stream of ids, each text closed by [SEP]."""
    table = np.full(0x110000, UNK, dtype=np.uint16)
    for index, token in enumerate(vocabulary[len(SPECIAL) :], start=len(SPECIAL)):
        table[ord(token)] = index
    joined = "\0".join("".join(text.split()) for text in texts) + "\0"
    table[0] = SEP
    return table[np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)]


def cooccurrence_embeddings(
    streams: list[NDArray[np.uint16]], vocab: int, width: int, seed: int
) -> NDArray[np.float32]:
    """Shifted-PPMI factorisation of a window of ±4, which skip-gram approximates (Levy & Goldberg 2014)."""
    from sklearn.utils.extmath import randomized_svd

    counts = np.zeros((vocab, vocab), dtype=np.float32)
    for stream in streams:
        for piece in np.array_split(stream.astype(np.int64), max(1, len(stream) // 4_000_000)):
            for distance in range(1, 5):
                pairs = piece[:-distance] * vocab + piece[distance:]
                unique, times = np.unique(pairs, return_counts=True)
                counts.reshape(-1)[unique] += times / distance
    counts += counts.T
    counts[: len(SPECIAL)] = 0
    counts[:, : len(SPECIAL)] = 0
    rows, columns = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        ppmi = np.log(counts * columns.sum() / (rows * columns))
    ppmi = np.where(np.isfinite(ppmi), np.maximum(ppmi, 0), 0).astype(np.float32)
    left, singular, _ = randomized_svd(ppmi, n_components=width, random_state=seed)
    vectors = left * np.sqrt(singular)
    vectors *= 0.05 / vectors.std()
    unseen = np.abs(vectors).sum(1) == 0
    vectors[unseen] = np.random.default_rng(seed).normal(0, 0.02, (int(unseen.sum()), width))
    return vectors.astype(np.float32)


def prepare(args: argparse.Namespace) -> None:
    """Corpus, tokenizer and first embeddings into `--work`; done once, and again when the record is missing."""
    record_path = args.work / "corpus.json"
    if record_path.exists():
        return
    args.work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    held_out = held_out_hashes(args.evaluation) if args.evaluation else np.empty(0, dtype=np.uint64)
    corpus, record = {}, {}
    for name in MIXTURES[0][1]:
        path = args.corpus / f"{name}.txt.xz"
        corpus[name], dropped = uncontaminated(path, held_out)
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        record[name] = {"sha256": sha, "documents": len(corpus[name]), "dropped_as_held_out": dropped}
        print(f"{name}: {len(corpus[name])} documents, {dropped} dropped", flush=True)
    vocabulary = build_vocabulary(corpus, args.vocab)
    save_tokenizer(vocabulary, args.work / "tokenizer")
    streams = []
    for name, texts in corpus.items():
        np.random.default_rng(args.seed).shuffle(texts)
        streams.append(encode(texts, vocabulary))
        np.save(args.work / f"{name}.npy", streams[-1])
        record[name]["tokens"] = len(streams[-1])
    vectors = cooccurrence_embeddings(streams, len(vocabulary), args.width, args.seed)
    np.save(args.work / "embeddings.npy", vectors)
    print(f"prepared in {time.monotonic() - started:.0f} s, vocabulary {len(vocabulary)}", flush=True)
    record_path.write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")


# --- model --------------------------------------------------------------------------------------


def build_model(args: argparse.Namespace) -> Any:
    from transformers import BertConfig, BertForMaskedLM

    vectors = torch.from_numpy(np.load(args.work / "embeddings.npy"))
    torch.manual_seed(args.seed)
    config = BertConfig(
        vocab_size=len(vectors),
        hidden_size=args.width,
        num_hidden_layers=args.depth,
        num_attention_heads=args.width // 64,
        intermediate_size=4 * args.width,
        max_position_embeddings=512,
        hidden_dropout_prob=0.0,  # a budget of a few passes over the text does not overfit
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
    )
    model = BertForMaskedLM(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.copy_(vectors)
        model.bert.embeddings.position_embeddings.weight.copy_(0.3 * 0.05 * sinusoids(512, args.width))
    return model


def sinusoids(length: int, width: int) -> torch.Tensor:
    """The fixed positions of Vaswani et al. 2017, section 3.5; shape (length, width)."""
    angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(length, width)


def learning_rate(done: float, step: int) -> float:
    """Warm-up by step, then constant, then linear to zero over the last `DECAY_SHARE` of the budget."""
    return PEAK_LR * min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, max(0.0, (1 - done) / DECAY_SHARE))


class Batches:
    """Random windows of the mixed streams with BERT masking. All state is one generator, so it can be resumed."""

    def __init__(self, work: Path, vocab: int, seed: int) -> None:
        self.streams = {name: np.load(work / f"{name}.npy", mmap_mode="r") for name in MIXTURES[0][1]}
        self.vocab = vocab
        self.rate = mask_rates(work / "tokenizer", vocab)
        self.rng = np.random.default_rng(seed)

    def draw(self, lengths: dict[int, float], mixture: dict[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        """`input_ids` and `labels`, both (BATCH_TOKENS // length, length); labels are -100 off the masked places."""
        length = int(self.rng.choice(list(lengths), p=list(lengths.values())))
        rows = np.empty((BATCH_TOKENS // length, length), dtype=np.int64)
        rows[:, 0] = CLS
        names = self.rng.choice(list(mixture), size=len(rows), p=list(mixture.values()))
        for row, name in zip(rows, names, strict=True):
            start = int(self.rng.integers(0, len(self.streams[str(name)]) - length))
            row[1:] = self.streams[str(name)][start : start + length - 1]
        chosen = self.rng.random(rows.shape) < self.rate[rows]
        labels = np.where(chosen, rows, -100)
        fate = self.rng.random(rows.shape)
        rows[chosen & (fate < 0.8)] = MASK
        swap = chosen & (fate >= 0.9)
        rows[swap] = self.rng.integers(len(SPECIAL), self.vocab, int(swap.sum()))
        return torch.from_numpy(rows), torch.from_numpy(labels)


def mask_rates(tokenizer: Path, vocab: int) -> NDArray[np.float64]:
    """How often each id is masked; special tokens never are."""
    from transformers import AutoTokenizer

    rates = np.full(vocab, MASK_RATE)
    rates[: len(SPECIAL)] = 0
    ids = AutoTokenizer.from_pretrained(tokenizer).convert_tokens_to_ids(list(JUDGEMENT))
    rates[[index for index in ids if index >= len(SPECIAL)]] = 2 * MASK_RATE
    return rates


def masked_loss(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The output layer is a third of the arithmetic: run it on the masked places only."""
    places = labels != -100
    hidden = model.bert(input_ids=input_ids).last_hidden_state[places]
    return torch.nn.functional.cross_entropy(model.cls(hidden).float(), labels[places])


def optimizer_for(model: Any) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.98), eps=1e-6)


def train(args: argparse.Namespace) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build_model(args).to(device)
    optimizer = optimizer_for(model)
    batches = Batches(args.work, model.config.vocab_size, args.seed)
    step, tokens, curve = restore(args.work, model, optimizer, batches)
    began, began_tokens, saved, running = time.monotonic(), tokens, time.monotonic(), 0.0
    while tokens < args.tokens:
        done = tokens / args.tokens
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, step)
        mixture = next(shares for share, shares in reversed(MIXTURES) if done >= share)
        lengths = next(shares for share, shares in reversed(LENGTHS) if done >= share)
        input_ids, labels = batches.draw(lengths, mixture)
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            loss = masked_loss(model, input_ids.to(device), labels.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, tokens = step + 1, tokens + BATCH_TOKENS
        running += loss.item()
        if step % 100 == 0:
            speed = (tokens - began_tokens) / (time.monotonic() - began)
            curve.append({"tokens": tokens, "loss": round(running / 100, 4)})
            print(f"{tokens / 1e6:.2f}M tokens  loss {running / 100:.3f}  {speed:.0f} tokens/s", flush=True)
            running = 0.0
        if time.monotonic() - saved > args.save_every:
            checkpoint(args.work, model, optimizer, batches, step, tokens, curve)
            saved = time.monotonic()
    checkpoint(args.work, model, optimizer, batches, step, tokens, curve)
    return model


def checkpoint(
    work: Path, model: Any, optimizer: Any, batches: Batches, step: int, tokens: int, curve: list[dict[str, float]]
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": json.dumps(batches.rng.bit_generator.state),
        "step": step,
        "tokens": tokens,
        "curve": curve,
    }
    temporary = work / "checkpoint.tmp"
    torch.save(state, temporary)
    temporary.replace(work / "checkpoint.pt")


def restore(work: Path, model: Any, optimizer: Any, batches: Batches) -> tuple[int, int, list[dict[str, float]]]:
    path = work / "checkpoint.pt"
    if not path.exists():
        return 0, 0, []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    batches.rng.bit_generator.state = json.loads(state["rng"])
    return state["step"], state["tokens"], state["curve"]


# --- what is shipped ----------------------------------------------------------------------------


def append_pooling_layer(model: Any) -> None:
    """Give the encoder one more layer, written by hand, in which every token adds the mean of all to itself.

    Masked-token training never asks [CLS] to sum a text up, yet it is what a BERT classifier reads. (An objective
    for it, [CLS] predicting the characters of its text, did not get beyond their frequencies in six million
    tokens.) With queries of zero attention is uniform over the tokens that are not padding; with the identity as
    values, and no feed-forward, the layer is mean pooling in the shape of an ordinary BERT layer, so any Auto class
    loads it, and an adapter can turn it into attentive pooling.
    """
    from transformers.models.bert.modeling_bert import BertLayer

    layer = BertLayer(model.config, layer_idx=model.config.num_hidden_layers)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        identity = torch.eye(model.config.hidden_size)
        layer.attention.self.value.weight.copy_(identity)
        layer.attention.output.dense.weight.copy_(POOL_GAIN * identity)
        for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
            norm.weight.fill_(1.0)
    model.encoder.layer.append(layer)
    model.config.num_hidden_layers += 1


def export(args: argparse.Namespace) -> None:
    """fp16 encoder and tokenizer, in the ordinary folder shape; no pooler, which was never trained.

    Traditional characters get a copy of the row of their simplified twin: the corpus is simplified throughout.
    """
    from transformers import AutoTokenizer, BertModel

    state = torch.load(args.work / "checkpoint.pt", weights_only=True)
    trained = build_model(args)
    trained.load_state_dict(state["model"])
    tokens = AutoTokenizer.from_pretrained(args.work / "tokenizer").get_vocab()
    vocabulary = sorted(tokens, key=lambda token: tokens[token])
    twins = traditional_twins(vocabulary)
    trained.resize_token_embeddings(len(vocabulary) + len(twins), mean_resizing=False)
    table = trained.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        for row, simple in enumerate(twins.values(), start=len(vocabulary)):
            table[row] = table[tokens[simple]]
    trained.config.hidden_dropout_prob = trained.config.attention_probs_dropout_prob = 0.1
    encoder = BertModel(trained.config, add_pooling_layer=False)
    encoder.load_state_dict(trained.bert.state_dict())
    append_pooling_layer(encoder)
    args.out.mkdir(parents=True, exist_ok=True)
    encoder.half().save_pretrained(args.out)
    save_tokenizer(vocabulary + list(twins), args.out)
    record = {
        "tokens": state["tokens"],
        "steps": state["step"],
        "seed": args.seed,
        "mixtures": MIXTURES,
        "vocabulary": {"from_corpus": len(vocabulary), "traditional_twins": len(twins)},
        "corpus": json.loads((args.work / "corpus.json").read_text(encoding="utf-8")),
        "loss_curve": state["curve"][:: max(1, len(state["curve"]) // 40)],
    }
    (args.out / "pretraining.json").write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, help="held-out texts that must not be trained on")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=float, default=12e6)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocab", type=int, default=6400)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--save-every", type=float, default=120, help="seconds between checkpoints")
    parser.add_argument("--export-only", action="store_true", help="export the newest checkpoint as it is")
    args = parser.parse_args()
    if not args.export_only:
        prepare(args)
        train(args)
    export(args)


if __name__ == "__main__":
    main()
