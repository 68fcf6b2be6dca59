"""Pre-train a small decoder, for trying out on a laptop what needs a language model: `chat`, `label_scoring`.

One command from raw text to a folder that `--base` takes::

    python recipes/pretrain_small_decoder.py --corpus CORPUS_DIR --evaluation EVAL_DIR --out OUT_DIR

The layers are new and have the shape of Qwen3. The words are those of `mini-zh`: its tokenizer, and its embeddings to
start from, which saves most of the tokens that a decoder of this size would need to tell words apart. `--tokens 0`
stops there: a decoder that knows words and not one sentence.

`CORPUS_DIR` holds the files of `MIXTURE`, one document a line. A document that shares a run of sixteen characters with
a dev, test or undivided file below `EVAL_DIR` is not read.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_zh.corpus import HeldOut, documents, evaluation_texts
from numpy.typing import NDArray

from qingtiao.models.base import locate, quiet_transformers

MIXTURE = {"dialogue": 0.5, "tech": 0.25, "reviews": 0.25}  # shares of the tokens
WARMUP_STEPS = 30
# The vocabulary is three quarters of the work: each step asks for the next token at this share of the places.
ASKED = 0.25


def small_decoder(words: Any, embeddings: torch.Tensor, *, layers: int, seed: int) -> Any:
    """A decoder as wide as `embeddings` (tokens, width), which are its input and its output table."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    vocabulary, width = embeddings.shape
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=width // 4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=words.pad_token_id,
            bos_token_id=words.cls_token_id,
            eos_token_id=words.sep_token_id,
        )
    )
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(embeddings)
    return model


def words_of_mini_zh() -> tuple[Any, torch.Tensor]:
    """Its tokenizer, which closes texts with `[SEP]`, and its embeddings."""
    from tokenizers import decoders
    from transformers import AutoModel, AutoTokenizer

    folder = locate("mini-zh")
    words = AutoTokenizer.from_pretrained(folder)
    # Chinese is written without spaces; without a decoder the pieces would be joined by them.
    words.backend_tokenizer.decoder = decoders.Fuse()
    with quiet_transformers():  # of its head, which is not taken
        encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    return words, encoder.get_input_embeddings().weight.detach().clone()


def stream_of(words: Any, texts: Iterator[str], *, tokens: int) -> NDArray[np.int64]:
    """The first `tokens` tokens of the texts in a row, each text closed by `[SEP]`."""
    parts: list[int] = []
    for text in texts:
        parts += [*words(text, add_special_tokens=False, verbose=False)["input_ids"], words.sep_token_id]
        if len(parts) >= tokens:
            break
    return np.array(parts[:tokens], dtype=np.int64)


def read(args: argparse.Namespace, words: Any) -> NDArray[np.int64]:
    """Rows of `--length` tokens, shuffled, shape (rows, length)."""
    held_out = HeldOut(evaluation_texts(args.evaluation) if args.evaluation else iter(()))
    rows = []
    for name, share in MIXTURE.items():
        apart = (text for text in documents(args.corpus / f"{name}.txt.xz") if not held_out.holds(text))
        stream = stream_of(words, apart, tokens=int(args.tokens * share))
        rows.append(stream[: len(stream) // args.length * args.length].reshape(-1, args.length))
        print(f"{name}: {len(stream)} tokens", flush=True)
    return np.random.default_rng(args.seed).permutation(np.concatenate(rows))


def next_token_loss(model: Any, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The mean loss at `places`, the same of every row, in nats."""
    logits = model(input_ids=rows, use_cache=False, logits_to_keep=places).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, places + 1].flatten())


def train(args: argparse.Namespace, model: Any, rows: NDArray[np.int64]) -> list[dict[str, float]]:
    """One pass over `rows`; gives the loss along the way."""
    batches = [rows[start : start + args.batch] for start in range(0, len(rows), args.batch)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.05)
    chance, curve, recent = random.Random(args.seed), [], []
    began = time.monotonic()
    for step, batch in enumerate(batches, start=1):
        rate = args.lr * min(1.0, step / WARMUP_STEPS) * min(1.0, 2 * (1 - step / len(batches)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        places = torch.tensor(sorted(chance.sample(range(args.length - 1), int(ASKED * args.length))))
        loss = next_token_loss(model, torch.from_numpy(batch), places)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append(float(loss.detach()))
        if step % 20 == 0 or step == len(batches):
            tokens = step * args.batch * args.length
            curve.append({"tokens": tokens, "loss": round(float(np.mean(recent)), 4)})
            speed = tokens / (time.monotonic() - began)
            print(f"{step}/{len(batches)}  loss {curve[-1]['loss']}  {speed:.0f} tokens/s", flush=True)
            recent = []
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, help="held-out texts that must not be trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=float, default=1e6)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    words, embeddings = words_of_mini_zh()
    model = small_decoder(words, embeddings, layers=args.layers, seed=args.seed)
    curve = train(args, model, read(args, words)) if args.tokens else []
    words.save_pretrained(args.out)
    model.save_pretrained(args.out)
    record = {"tokens": int(args.tokens), "seed": args.seed, "mixture": MIXTURE, "loss_curve": curve}
    (args.out / "pretraining.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
