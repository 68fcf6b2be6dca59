"""Pre-train `mini-zh`, the embedded base: a word-level ModernBERT small enough to ship in the package.

One command from raw text to the shipped folder::

    python recipes/pretrain_mini_zh.py --corpus CORPUS_DIR --evaluation EVAL_DIR --work runs/mini-zh --out OUT_DIR

`CORPUS_DIR` holds `NAME.txt.xz` files, one document a line, with `␤` for line breaks inside a document. Every text
file below `EVAL_DIR` is held-out material: a document that shares a run of sixteen characters with it, or nearly equals
a row of it, is dropped before anything is counted. An interrupted run continues from `--work`. A GPU is used where
there is one. With `--start FOLDER` the encoder begins as the one that an earlier run wrote there, so that hours of
several days add up; its card then tells of both.

What was tried, and what each part bought, stands in `docs/mini-zh.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_zh import lexicon
from mini_zh.batches import PROSE, Batches
from mini_zh.corpus import HeldOut, evaluation_texts, uncontaminated
from mini_zh.model import LONGEST, WEIGHTS, Pretraining, encoder_config, optimizer
from mini_zh.tokens import (
    SPECIAL,
    cooccurrence_embeddings,
    encode,
    save_tokenizer,
    traditional_twins,
    train_pieces,
)

WARMUP_STEPS = 200
DECAY_SHARE = 0.4
PROBES = 8  # batches of 4,096 tokens on which the loss over the whole vocabulary is taken


def prepare(args: argparse.Namespace) -> None:
    """Everything that training reads, into `--work`; done once, and again when the record is missing."""
    record_path = args.work / "corpus.json"
    if record_path.exists():
        return
    args.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    held_out = HeldOut(evaluation_texts(args.evaluation) if args.evaluation else iter(()))
    corpus, record = {}, {}
    for name in ["reviews", *PROSE]:
        path = args.corpus / f"{name}.txt.xz"
        corpus[name], dropped = uncontaminated(path, held_out)
        random.Random(args.seed).shuffle(corpus[name])
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        record[name] = {"sha256": sha, "documents": len(corpus[name]), "dropped_as_held_out": dropped}
        print(f"{name}: {len(corpus[name])} documents, {dropped} dropped", flush=True)
    tokenizer = train_pieces(corpus, args.vocab, args.seed)
    save_tokenizer(tokenizer, args.work / "tokenizer", LONGEST)
    streams = {}
    for name, texts in corpus.items():
        for suffix, dropout in (("", None), (".dropout", 0.2)):
            stream, starts = encode(tokenizer, texts, dropout)
            np.save(args.work / f"{name}{suffix}.npy", stream)
            if name == "reviews":
                np.save(args.work / f"{name}{suffix}.starts.npy", starts)
            if not suffix:
                streams[name] = stream
                record[name]["tokens"] = len(stream)
    vocab = tokenizer.get_vocab_size()
    np.save(args.work / "reviews.polarity.npy", np.array([lexicon.polarity(text) for text in corpus["reviews"]]))
    tokens = [tokenizer.id_to_token(index) for index in range(vocab)]
    np.save(args.work / "feelings.npy", np.array(lexicon.feeling_table(tokens)))
    counts = sum(np.bincount(stream, minlength=vocab) for stream in streams.values())
    np.save(args.work / "frequency.npy", (counts / counts.sum()).astype(np.float32))
    np.save(args.work / "embeddings.npy", cooccurrence_embeddings(streams, vocab, args.width, args.seed))
    print(f"prepared in {time.monotonic() - began:.0f} s, vocabulary {vocab}", flush=True)
    record_path.write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")


def build_model(args: argparse.Namespace) -> Pretraining:
    vectors = torch.from_numpy(np.load(args.work / "embeddings.npy"))
    torch.manual_seed(args.seed)
    config = encoder_config(len(vectors), args.width, args.depth)
    return Pretraining(config, vectors, torch.from_numpy(np.load(args.work / "frequency.npy")))


def vocabulary(folder: Path) -> dict[str, int]:
    pieces: dict[str, int] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return pieces


def begin_as(model: Pretraining, folder: Path, pieces: dict[str, int]) -> None:
    """Take encoder and head from `folder`, an earlier `--out`; pieces that it lacks keep their first vectors.

    Rows are matched by the piece, not by its number: a corpus that grew gives another order.
    """
    from safetensors.torch import load_file

    state = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    table = state.pop("model.embeddings.tok_embeddings.weight")
    known = vocabulary(folder)
    encoder = {name.removeprefix("model."): t for name, t in state.items() if name.startswith("model.")}
    encoder["embeddings.tok_embeddings.weight"] = model.encoder.embeddings.tok_embeddings.weight.detach().clone()
    for piece, row in pieces.items():
        if piece in known:
            encoder["embeddings.tok_embeddings.weight"][row] = table[known[piece]]
    model.encoder.load_state_dict(encoder)
    model.head.load_state_dict({n.removeprefix("head."): t for n, t in state.items() if n.startswith("head.")})


def learning_rate(peak: float, done: float, step: int) -> float:
    """Trapezoid (Hägele et al. 2024): constant after a warm-up, then linear to zero, so the budget may still change."""
    return peak * min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, max(0.0, (1 - done) / DECAY_SHARE))


def train(args: argparse.Namespace) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build_model(args).to(device)
    optim = optimizer(model, args.lr)
    batches = Batches(args.work, args.batch_tokens, args.seed)
    step, tokens, curve = restore(args.work, model, optim, batches)
    if args.start and step == 0:
        begin_as(model, args.start, vocabulary(args.work / "tokenizer"))
    probe = [Batches(args.work, 4096, seed).draw() for seed in range(9000, 9000 + PROBES)]
    began, began_tokens, saved = time.monotonic(), tokens, time.monotonic()
    sums: dict[str, list[float]] = {}
    while tokens < args.tokens:
        for group in optim.param_groups:
            group["lr"] = learning_rate(args.lr, tokens / args.tokens, step)
        batch = batches.draw()
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            losses = model.losses(moved(batch, device))
        sum(WEIGHTS[name] * loss for name, loss in losses.items()).backward()
        if not torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).isfinite():
            # Before the update: the last checkpoint is still good.
            raise SystemExit(f"step {step}: the gradient is not finite; losses {losses}")
        optim.step()
        optim.zero_grad(set_to_none=True)
        step, tokens = step + 1, tokens + batch.input_ids.numel()
        for name, loss in losses.items():
            sums.setdefault(name, []).append(loss.item())
        if step % 100 == 0:
            speed = (tokens - began_tokens) / (time.monotonic() - began)
            means = {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
            if step % 500 == 0:
                means["full_vocabulary"] = round(sum(model.full_loss(moved(b, device)) for b in probe) / len(probe), 4)
            curve.append({"tokens": tokens, **means})
            print(f"{step} {tokens / 1e6:.2f}M tokens  {means}  {speed:.0f} tokens/s", flush=True)
            sums.clear()
        if time.monotonic() - saved > args.save_every:
            checkpoint(args.work, model, optim, batches, step, tokens, curve)
            saved = time.monotonic()
    checkpoint(args.work, model, optim, batches, step, tokens, curve)


def moved(batch: Any, device: str) -> Any:
    return type(batch)(*(None if t is None else t.to(device) for t in vars(batch).values()))


def checkpoint(
    work: Path,
    model: Pretraining,
    optim: torch.optim.Optimizer,
    batches: Batches,
    step: int,
    tokens: int,
    curve: list[dict[str, float]],
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optim.state_dict(),
        "batches": batches.state(),
        "torch": torch.get_rng_state(),
        "step": step,
        "tokens": tokens,
        "curve": curve,
    }
    temporary = work / "checkpoint.tmp"
    torch.save(state, temporary)
    temporary.replace(work / "checkpoint.pt")


def restore(
    work: Path, model: Pretraining, optim: torch.optim.Optimizer, batches: Batches
) -> tuple[int, int, list[dict[str, float]]]:
    path = work / "checkpoint.pt"
    if not path.exists():
        return 0, 0, []
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optim.load_state_dict(state["optimizer"])
    batches.restore(state["batches"])
    torch.set_rng_state(state["torch"])
    return state["step"], state["tokens"], state["curve"]


def export(args: argparse.Namespace) -> None:
    """fp16 encoder, the head that reads the pooled text, and the tokenizer, in the ordinary folder shape.

    Traditional characters get a copy of the row of their simplified twin: the corpus is simplified throughout.
    """
    from tokenizers import Tokenizer
    from transformers import ModernBertForSequenceClassification

    state = torch.load(args.work / "checkpoint.pt", map_location="cpu", weights_only=True)
    trained = build_model(args)
    trained.load_state_dict(state["model"])
    described = json.loads((args.work / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = described["model"]["vocab"]
    pieces = len(vocabulary)
    twins = traditional_twins(vocabulary)
    for row, char in enumerate(twins, start=pieces):
        vocabulary[char] = row
    config = trained.encoder.config
    trained.encoder.resize_token_embeddings(len(vocabulary), mean_resizing=False)
    table = trained.encoder.embeddings.tok_embeddings.weight
    with torch.no_grad():
        for row, simple in enumerate(twins.values(), start=pieces):
            table[row] = table[vocabulary[simple]]
    config.vocab_size = len(vocabulary)
    config.num_labels = 2
    shipped = ModernBertForSequenceClassification(config)
    shipped.model.load_state_dict(trained.encoder.state_dict())
    shipped.head.load_state_dict(trained.head.state_dict())
    args.out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor for name, tensor in shipped.half().state_dict().items() if "classifier" not in name}
    shipped.save_pretrained(args.out, state_dict=weights)
    save_tokenizer(Tokenizer.from_str(json.dumps(described, ensure_ascii=False)), args.out, LONGEST)
    record = {
        "tokens": state["tokens"],
        "steps": state["step"],
        "seed": args.seed,
        "vocabulary": {"pieces": pieces, "special": len(SPECIAL), "traditional_twins": len(twins)},
        "corpus": json.loads((args.work / "corpus.json").read_text(encoding="utf-8")),
        "started_from": described_start(args.start) if args.start else None,
        "loss_curve": state["curve"][:: max(1, len(state["curve"]) // 40)],
    }
    (args.out / "pretraining.json").write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")


def described_start(folder: Path) -> dict[str, Any]:
    """Which weights were gone on with, and what those had seen."""
    earlier = json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))
    return {
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        **{name: earlier[name] for name in ("tokens", "steps", "seed", "loss_curve")},
        "started_from": earlier.get("started_from"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, help="held-out texts that must not be trained on")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="the folder of an earlier run, to go on with its weights")
    parser.add_argument("--tokens", type=float, default=10.5e6)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocab", type=int, default=17_200)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--save-every", type=float, default=120, help="seconds between checkpoints")
    parser.add_argument("--stop-after", choices=["prepare", "train"], help="stop before the next part")
    parser.add_argument("--export-only", action="store_true", help="export the newest checkpoint as it is")
    args = parser.parse_args()
    if not args.export_only:
        prepare(args)
        if args.stop_after == "prepare":
            return
        train(args)
        if args.stop_after == "train":
            return
    export(args)


if __name__ == "__main__":
    main()
