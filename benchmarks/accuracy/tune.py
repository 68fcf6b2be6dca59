"""The evidence for the defaults of small encoders: one setting changed at a time, scored on dev rows only.

    python benchmarks/accuracy/tune.py --data FOLDER [--variants NAME ...] [--jobs N]

Every variant learns the same samples of the training rows of each data set; test rows are never read. A line a run
goes to the results file, and runs that stand there are skipped. Prints a table: variants by data set and size.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
from corpora import CORPORA, TASK, add_data_option, lacks_data, prepare, subset
from methods import fine_tuned
from results import drop_torn_line
from run import facts_of
from workers import worker_pool

from qingtiao.config import AdapterConfig, BaseConfig, TrainConfig
from qingtiao.data.split import sample
from qingtiao.evaluate.metrics import accuracy
from qingtiao.task import find_task

HERE = Path(__file__).parent
DEV_ROWS = 1000
# Each is laid over the defaults: adapter settings, train settings. Results are kept by these names, so they tell the
# rate: its default was 1e-3 before it was 2e-3.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"rate {rate}": ({}, {"learning_rate": float(rate)}) for rate in ("3e-4", "1e-3", "2e-3", "3e-3")},
    "r 4, rate 2e-3": ({"r": 4, "alpha": 8}, {"learning_rate": 2e-3}),
    "r 16, rate 2e-3": ({"r": 16, "alpha": 32}, {"learning_rate": 2e-3}),
    "attention alone (ModernBERT's names), rate 2e-3": (
        {"target_modules": ["attn.Wqkv", "attn.Wo"]},
        {"learning_rate": 2e-3},
    ),
    "3 epochs, rate 2e-3": ({}, {"epochs": 3, "learning_rate": 2e-3}),
    **{f"{n} epochs, rate 1e-3": ({}, {"epochs": n, "learning_rate": 1e-3}) for n in (2, 3, 4, 6, 20)},
    "random head, rate 1e-3": ({}, {"head_start": "random", "learning_rate": 1e-3}),
    "random head, dropout 0.05, rate 1e-3": ({"dropout": 0.05}, {"head_start": "random", "learning_rate": 1e-3}),
    "all-linear+embeddings, random head, dropout 0.05, rate 1e-3": (
        {"target_modules": "all-linear+embeddings", "dropout": 0.05},
        {"head_start": "random", "learning_rate": 1e-3},
    ),
}


def score(variant: str, name: str, size: int, seed: int, folder: Path, base: str) -> float:
    """Accuracy on dev rows."""
    rows = prepare(name, folder)
    kind = find_task(TASK)
    task = kind.fit(rows.train, kind.Options())
    adapter, settings = VARIANTS[variant]
    dev = sample(rows.dev, DEV_ROWS, seed=0)
    logits = fine_tuned(
        task,
        subset(rows.train, size, seed=seed),
        dev,
        base=BaseConfig(name=base),
        adapter=AdapterConfig(**adapter),
        settings=TrainConfig(**{"seed": seed, "precision": "fp32", **settings}),
    )
    return accuracy(task.gold(dev), logits.argmax(axis=1))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--results", type=Path, default=HERE / "tuning.jsonl")
    parser.add_argument("--base", default="mini-zh")
    parser.add_argument("--only", nargs="+", choices=CORPORA, default=["chnsenticorp", "smp2020_emotion"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 1000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args(argv)
    if lacks_data(args.data):
        return
    fingerprint, _, _ = facts_of(args.base)
    drop_torn_line(args.results)
    lines = args.results.read_text(encoding="utf-8").splitlines() if args.results.exists() else []
    done = {tuple(result[:5]): result[5] for line in lines for result in [json.loads(line)]}
    wanted = [
        (fingerprint, v, d, n, s) for n in args.sizes for s in args.seeds for d in args.only for v in args.variants
    ]
    with worker_pool(args.jobs) as pool:
        going = {pool.submit(score, *run[1:], args.data, args.base): run for run in wanted if run not in done}
        for future in as_completed(going):
            done[going[future]] = future.result()
            with args.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*going[future], round(future.result(), 4)]) + "\n")
            print(*going[future][1:], f"{100 * future.result():.1f}", flush=True)
    print(table({run: done[run] for run in wanted}))


def table(scores: dict[tuple[str, str, str, int, int], float]) -> str:
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (_, variant, name, size, _), value in scores.items():
        cells[variant][f"{name} {size}"].append(value)
    columns = list(next(iter(cells.values())))
    lines = [f"| | {' | '.join(columns)} | mean |", "|---" * (len(columns) + 2) + "|"]
    for variant, row in cells.items():
        means = [100 * float(np.mean(row[column])) for column in columns]
        lines.append(f"| {variant} | {' | '.join(f'{m:.1f}' for m in [*means, float(np.mean(means))])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
