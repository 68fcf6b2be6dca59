"""Memory, speed and agreement of a base in full precision, 8 and 4 bits: a random Qwen3 of a given shape.

    python benchmarks/quantisation.py [--shape small|7b] [--docs FILE]

`small` is for a CPU. `7b` wants a GPU, and runs under bf16 autocast as training does there. The table goes between the
markers of docs/quantisation.md. Weights are random: agreement is that of logits, not of an accuracy.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accuracy.marked import put_between
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForSequenceClassification

from qingtiao.config import AdapterConfig, Quantize
from qingtiao.models.adapter import add_adapter, trainable
from qingtiao.models.base import LoadedBase
from qingtiao.models.device import Precision, pick_device, pick_precision
from qingtiao.models.forward import autocast
from qingtiao.models.quantise import quantise, weight_bytes

DOCS = Path(__file__).resolve().parents[1] / "docs" / "quantisation.md"
BEGIN, END = "<!-- quantisation table: begin -->", "<!-- quantisation table: end -->"
SHAPES: dict[str, dict[str, int]] = {
    "small": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 8,
              "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 8000},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 152064},
}  # fmt: skip
ROWS, LENGTH, REPEATS = 8, 64, 5


class Measured(NamedTuple):
    mib: float
    train_seconds: float
    predict_seconds: float
    logits: torch.Tensor


def measure(shape: str, how: Quantize, precision: Precision) -> Measured:
    """One base, the same random weights each time; times are the best of `REPEATS`, a batch of 8 rows of 64 tokens."""
    torch.manual_seed(0)
    device = pick_device()
    config = Qwen3Config(**SHAPES[shape], num_labels=2, pad_token_id=0, initializer_range=0.05)
    model: Any = Qwen3ForSequenceClassification(config)
    fresh = ("score.weight",)
    base = LoadedBase("random", None, model.eval(), PreTrainedTokenizerFast, fresh, "")
    quantise(base, how)
    adapted = add_adapter(base, AdapterConfig(dropout=0), peft_task_type="SEQ_CLS", seed=0).to(device)
    ids = torch.randint(1, config.vocab_size, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1)).to(device)
    labels = torch.arange(ROWS, device=device) % 2
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def train_step() -> None:
        with autocast(device, precision):
            loss = adapted(**inputs, labels=labels).loss
        loss.backward()
        for parameter in trainable(adapted).values():
            parameter.grad = None

    def predict() -> torch.Tensor:
        with torch.inference_mode(), autocast(device, precision):
            logits: torch.Tensor = adapted(**inputs).logits
        return logits.float().cpu()

    adapted.train()
    seconds = best_seconds(train_step)
    adapted.eval()
    return Measured(weight_bytes(base.model) / 2**20, seconds, best_seconds(predict), predict())


def best_seconds(act: Any) -> float:
    act()
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        act()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def render(shape: str, measured: dict[str, Measured]) -> str:
    first = next(iter(measured.values()))
    scale = float(first.logits.abs().max())
    lines = [
        f"`--shape {shape}`, {pick_device().type}, torch {torch.__version__}",
        "",
        "| 基座 base | 权重 weights, MiB | 训练一步 train step | 预测 predict | logits 最大差 max difference "
        "| 同一答案 same answer |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in measured.items():
        train, predict = one.train_seconds / first.train_seconds, one.predict_seconds / first.predict_seconds
        difference = float((one.logits - first.logits).abs().max())
        same = float((one.logits.argmax(-1) == first.logits.argmax(-1)).float().mean())
        lines.append(
            f"| {name} | {one.mib:.0f} | {train:.2f}× | {predict:.2f}× | {difference:.3f} | {100 * same:.0f} % |"
        )
    return "\n".join([*lines, "", f"logits 的最大绝对值 largest absolute logit: {scale:.2f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--docs", type=Path, default=DOCS)
    args = parser.parse_args()
    # Where bf16 is emulated it is 30 times slower, and nobody would train in it.
    fastest = pick_precision("auto", pick_device())
    precision: Precision = fastest if torch.cuda.is_available() else "fp32"
    runs: dict[str, tuple[Quantize, Precision]] = {"fp32": ("none", "fp32"), "bf16": ("none", "bf16")}
    if fastest == "fp32":
        del runs["bf16"]
    elif args.shape == "7b":
        del runs["fp32"]
    runs |= {"8bit": ("8bit", precision), "4bit": ("4bit", precision)}
    text = render(args.shape, {name: measure(args.shape, *how) for name, how in runs.items()})
    print(text)
    put_between(args.docs, BEGIN, END, text)


if __name__ == "__main__":
    main()
