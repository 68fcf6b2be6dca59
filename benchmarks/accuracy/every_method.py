"""Every method by name on the same rows of ChnSentiCorp: what it trains, takes and gives. Writes docs/methods.md.

    python benchmarks/accuracy/every_method.py --data FOLDER [--rows N] [--methods NAME ...] [--split dev --rate R]

Each method runs with its defaults in a process of its own and one thread, one after the other, and adds a line to the
results file; what stands there for the same base, rows and settings is skipped. `--split dev` looks at the dev rows
instead and writes no table: for choosing the rates in `qingtiao.models.methods`. `--rate` is the learning rate.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from corpora import TASK, add_data_option, lacks_data, prepare, subset
from marked import put_between
from methods import fine_tuned, settings_of
from results import packed, unpacked
from run import facts_of
from table import HERE, bootstrap
from workers import worker_pool

from qingtiao.config import AdapterConfig, BaseConfig, TrainConfig
from qingtiao.errors import ConfigError
from qingtiao.events import Event, Started, Step
from qingtiao.models.methods import METHODS
from qingtiao.task import find_task
from qingtiao.types import Row

CORPUS = "chnsenticorp"
RESULTS = HERE / "every_method.jsonl"
DOCS = HERE.parents[1] / "docs" / "methods.md"
BEGIN, END = "<!-- methods table: begin -->", "<!-- methods table: end -->"
_MEGABYTE = 2**20 if sys.platform == "darwin" else 2**10  # what `ru_maxrss` counts in


@dataclass(frozen=True)
class Outcome:
    """One method. `share` of the parameters was trained.

    Seconds are those of the processor, training and answers together; memory is the peak of the whole process, in MB.
    """

    method: str
    base: str
    settings: str
    rows: int
    split: str
    rate: float
    share: float
    seconds: float
    megabytes: int
    n: int
    correct: str


@dataclass
class Listener:
    """What the training told of itself."""

    share: float = 0.0
    rate: float = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.share = event.trainable_share
        elif isinstance(event, Step):
            self.rate = max(self.rate, event.learning_rate)


def carry_out(
    method: str,
    taught: Sequence[Row],
    judged: Sequence[Row],
    *,
    base: str,
    fingerprint: str,
    settings: str,
    split: str,
    rate: float | None,
) -> Outcome:
    kind = find_task(TASK)
    task = kind.fit(taught, kind.Options())
    told = Listener()
    started = time.process_time()
    scores = fine_tuned(
        task,
        taught,
        judged,
        base=BaseConfig(name=base),
        adapter=AdapterConfig(method=method),
        settings=TrainConfig(seed=0, precision="fp32", learning_rate=rate or "auto"),
        listen=told,
    )
    right = np.asarray(scores.argmax(axis=1) == task.gold(judged))
    return Outcome(
        method=method,
        base=fingerprint,
        settings=settings,
        rows=len(taught),
        split=split,
        rate=told.rate,
        share=told.share,
        seconds=round(time.process_time() - started, 1),
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MEGABYTE,
        n=len(right),
        correct=packed(right),
    )


def read(path: Path) -> Iterator[Outcome]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Outcome(**json.loads(line))


def render(outcomes: Sequence[Outcome]) -> str:
    """The table of the newest base and number of rows, of each method the newest settings; the best one first."""
    if not outcomes:
        return "还没有结果。| No results yet."
    last = outcomes[-1]
    shown = {o.method: o for o in outcomes if (o.base, o.rows) == (last.base, last.rows)}
    estimates = {name: bootstrap(unpacked(o.correct, o.n)[None].astype(np.int8)) for name, o in shown.items()}
    lines = [
        f"{last.rows} 训练行 training rows, {last.n} 干净测试行 clean test rows, "
        f"基座指纹 base fingerprint {last.base}, 一个种子 one seed, 一个核 one core, fp32",
        "",
        "| 方法 method | 训练的参数 trained % | 学习率 rate | 处理器秒 CPU s | 峰值内存 peak MB | 准确率 accuracy % |",
        "|---|---|---|---|---|---|",
    ]
    for name, outcome in sorted(shown.items(), key=lambda item: -estimates[item[0]].mean):
        mean, (low, high) = estimates[name].mean, estimates[name].interval
        lines.append(
            f"| `{name}` | {100 * outcome.share:.2f} | {outcome.rate:.1e} | {outcome.seconds:.0f} "
            f"| {outcome.megabytes} | {100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}] |"
        )
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=DOCS)
    parser.add_argument("--base", default="mini-zh")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--split", choices=("test", "dev"), default="test")
    parser.add_argument("--rate", type=float)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    if lacks_data(args.data):
        return
    fingerprint, hidden_size, _ = facts_of(args.base)
    settings = {method: settings_of(method, hidden_size) for method in args.methods}
    prepared = prepare(CORPUS, args.data)
    taught = subset(prepared.train, args.rows, seed=0)
    judged = prepared.dev if args.split == "dev" else prepared.test
    same = {"base": args.base, "fingerprint": fingerprint, "split": args.split, "rate": args.rate}
    done = {(o.method, o.settings) for o in read(args.results) if (o.base, o.rows) == (fingerprint, args.rows)}
    for method in args.methods:
        if (method, settings[method]) in done and args.split == "test":
            continue
        try:
            with worker_pool(1) as alone:
                outcome = alone.submit(carry_out, method, taught, judged, settings=settings[method], **same).result()
        except ConfigError as refusal:  # not every method goes onto every base
            print(f"{method}: {refusal}", flush=True)
            continue
        right = unpacked(outcome.correct, outcome.n).mean()
        print(f"{method} {outcome.rate:.1e}: {100 * right:.1f} ({outcome.seconds:.0f} s)", flush=True)
        if args.split == "test":
            with args.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
    if args.split == "test":
        put_between(args.docs, BEGIN, END, render(list(read(args.results))))


if __name__ == "__main__":
    main()
