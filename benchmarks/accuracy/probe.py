"""What a base knows before it is trained: a logistic regression on its frozen vectors, scored on dev rows.

    python benchmarks/accuracy/probe.py --data FOLDER [--base FOLDER]

Two minutes where fine-tuning takes hours, so candidates for the embedded base are compared by it first. "head" is what
a classifier on the base reads, "pooled" is what its head reads. Test rows are never read. Prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpora import CORPORA, TASK, add_data_option, lacks_data, prepare, subset
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from qingtiao.config import BaseConfig
from qingtiao.data.split import sample
from qingtiao.models.base import LoadedBase, load_base, longest_input
from qingtiao.models.forward import run_rows
from qingtiao.task import find_task
from qingtiao.types import Row

DEV_ROWS = 1000
SIZES = (100, 1000)
STRENGTH = 0.02  # that of `train.head_start`

Vectors = NDArray[np.float64]


def load(base: str, *, vectors: str) -> LoadedBase:
    """A base whose "logits" are its vectors."""
    loaded = load_base(
        base, revision=None, auto_class="AutoModelForSequenceClassification", model_options={"num_labels": 2}
    )
    loaded.model.classifier = nn.Identity()
    if vectors == "pooled":
        loaded.model.head = nn.Identity()
    return loaded


def vectors_of(rows: Sequence[Row], base: LoadedBase) -> Vectors:
    """Shape (rows, width)."""
    kind = find_task(TASK)
    task = kind.fit(rows, kind.Options())
    features = task.encode(
        [row.unanswered() for row in rows], base.tokenizer, longest_input(base, BaseConfig().max_length)
    )

    def forward(model: Any, batch: Any) -> Sequence[NDArray[np.float32]]:
        return list(model(**batch).logits.numpy())

    collate = lambda some: task.collate(some, base.tokenizer)  # noqa: E731
    found = run_rows(base.model, features, collate, forward, device=torch.device("cpu"), precision="fp32")
    return np.stack(found).astype(np.float64)


def scores(name: str, folder: Path, base: LoadedBase, *, sizes: Sequence[int], seeds: Sequence[int]) -> Iterator[float]:
    """Mean accuracy over the seeds, for each size."""
    rows = prepare(name, folder)
    dev = sample(rows.dev, DEV_ROWS, seed=0)
    asked, expected = vectors_of(dev, base), np.array([row.target for row in dev])
    for size in sizes:
        right = []
        for seed in seeds:
            chosen = subset(rows.train, size, seed=seed)
            learnt = vectors_of(chosen, base)
            centre = learnt.mean(axis=0)
            scale = np.sqrt(np.square(learnt - centre).mean())
            model = LogisticRegression(C=STRENGTH, max_iter=500)
            model.fit((learnt - centre) / scale, [row.target for row in chosen])
            right.append(np.mean(model.predict((asked - centre) / scale) == expected))
        yield 100 * float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--base", default="mini-zh")
    parser.add_argument("--only", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--vectors", nargs="+", choices=("head", "pooled"), default=["head", "pooled"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    if lacks_data(args.data):
        return
    print(f"| | {' | '.join(f'{name} {size}' for name in args.only for size in SIZES)} | mean |")
    print("|---" * (2 + len(args.only) * len(SIZES)) + "|")
    for vectors in args.vectors:
        base = load(args.base, vectors=vectors)
        found = [score for name in args.only for score in scores(name, args.data, base, sizes=SIZES, seeds=args.seeds)]
        cells = " | ".join(f"{value:.1f}" for value in [*found, float(np.mean(found))])
        print(f"| {vectors} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
