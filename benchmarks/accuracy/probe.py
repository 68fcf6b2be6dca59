"""What a base knows before it is trained: the line that its output layer would start as, scored on dev rows.

    python benchmarks/accuracy/probe.py --data FOLDER [--base FOLDER]

Minutes where fine-tuning takes hours, so candidates for the embedded base are compared by it first. "head" is what
a classifier on the base reads, "pooled" is what its head reads. Test rows are never read. Prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from corpora import CORPORA, TASK, add_data_option, lacks_data, prepare, subset
from numpy.typing import NDArray
from torch import nn
from tune import DEV_ROWS

from qingtiao.config import BaseConfig
from qingtiao.data.split import sample
from qingtiao.evaluate.metrics import accuracy
from qingtiao.models.base import LoadedBase, load_base, longest_input
from qingtiao.models.forward import run_rows
from qingtiao.task import Task, find_task
from qingtiao.train.head_start import linear_classes
from qingtiao.types import Row

SIZES = (100, 1000)

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


def vectors_of(rows: Sequence[Row], task: Task, base: LoadedBase) -> Vectors:
    """Shape (rows, width)."""
    features = task.encode(
        [row.unanswered() for row in rows], base.tokenizer, longest_input(base, BaseConfig().max_length)
    )
    found = run_rows(
        base.model,
        features,
        lambda some: task.collate(some, base.tokenizer),
        lambda model, batch: list(model(**batch).logits.numpy()),
        device=torch.device("cpu"),
        precision="fp32",
    )
    return np.stack(found).astype(np.float64)


def scores(name: str, folder: Path, base: LoadedBase, *, sizes: Sequence[int], seeds: Sequence[int]) -> Iterator[float]:
    """Mean accuracy over the seeds, for each size."""
    rows, kind = prepare(name, folder), find_task(TASK)
    task = kind.fit(rows.train, kind.Options())
    dev = sample(rows.dev, DEV_ROWS, seed=0)
    asked, expected = vectors_of(dev, task, base), task.gold(dev)
    for size in sizes:
        right = []
        for seed in seeds:
            chosen = subset(rows.train, size, seed=seed)
            line = linear_classes(vectors_of(chosen, task, base), task.gold(chosen), outputs=len(task.labels))
            right.append(accuracy(expected, (asked @ line.weight.T + line.bias).argmax(axis=1)))
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
