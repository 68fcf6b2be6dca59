"""What it is worth to lay LoRA's B matrices column by column while a CPU trains them (see `qingtiao.train.layout`).

    python benchmarks/thin_gradients.py [--base NAME] [--rounds N]

Forward and backward over batches of the embedded reviews on one core; both layouts take turns, the quickest round of
each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

import torch

from qingtiao.config import AdapterConfig, DataConfig
from qingtiao.models.adapter import add_adapter
from qingtiao.models.base import load_base
from qingtiao.task import Task, find_task
from qingtiao.train.layout import lay_by_columns, lay_by_rows
from qingtiao.workflows.material import read_dataset

TASK = "text_classification"
LENGTHS = (32, 64, 128)
_BATCH_SIZE, _MOST_TOKENS = 16, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="mini-zh")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    task, model, tokens = prepared(args.base)
    print("| 词元 tokens | 按行 by rows, ms | 按列 by columns, ms | 比 ratio |")
    print("|---|---|---|---|")
    for length in LENGTHS:
        batch = {name: tensor[:, :length] if tensor.ndim == 2 else tensor for name, tensor in tokens.items()}
        rows, columns = [], []
        for _ in range(1 + args.rounds):
            lay_by_rows(model)
            rows.append(milliseconds(task, model, batch))
            lay_by_columns(model)
            columns.append(milliseconds(task, model, batch))
        best = min(rows[1:]), min(columns[1:])
        print(f"| {_BATCH_SIZE} x {length} | {best[0]:.0f} | {best[1]:.0f} | {best[0] / best[1]:.2f} |", flush=True)


def prepared(base: str) -> tuple[Task, Any, dict[str, torch.Tensor]]:
    """Task, adapted base, and a batch of rows that are all of the greatest length."""
    kind = find_task(TASK)
    rows = read_dataset(DataConfig(train="embedded:reviews"), task=TASK, task_options={}).train
    task = kind.fit(rows, kind.Options())
    loaded = load_base(base, revision=None, auto_class=task.auto_class, model_options=task.model_options())
    model = add_adapter(loaded, AdapterConfig(), peft_task_type=task.peft_task_type, seed=0).train()
    long = [
        row.with_text("".join(other.text for other in rows[n : n + 16])) for n, row in enumerate(rows[:_BATCH_SIZE])
    ]
    features = task.encode(long, loaded.tokenizer, _MOST_TOKENS)
    return task, model, task.collate(features, loaded.tokenizer)


def milliseconds(task: Task, model: Any, batch: Mapping[str, torch.Tensor]) -> float:
    model.zero_grad()  # those of the other layout
    started = time.perf_counter()
    task.loss(model, batch).backward()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
