"""The learning curves of `mini-zh`: LoRA and full fine-tuning beside baselines, from 100 rows to all of them.

    python benchmarks/accuracy/run.py --data FOLDER [--only NAME ...] [--jobs N] [--minutes M]

FOLDER (or the variable QINGTIAO_BENCHMARK_DATA) holds the files that `corpora.py` names. Each run adds a line to the
results file; runs that stand there are skipped, so a run that was cut off goes on where it was. At the end the tables
of docs/accuracy.md are written anew.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import results
import table
from corpora import CORPORA, SIZES, Size, add_data_option, lacks_data
from methods import METHODS, TRAINED_BASES, settings_of
from work import Setting, carry_out, plan_runs

from qingtiao.config import PrecisionChoice


def size(text: str) -> Size:
    return "all" if text == "all" else int(text)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--results", type=Path, default=table.RESULTS)
    parser.add_argument("--docs", type=Path, default=table.DOCS)
    parser.add_argument("--base", default="mini-zh", help="the base of lora and full")
    parser.add_argument("--only", nargs="+", choices=CORPORA, default=list(CORPORA), help="data sets")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sizes", nargs="+", type=size, default=[*SIZES, "all"], help="training rows, or all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(table.SEEDS)))
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, of one thread each")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after this many")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    if lacks_data(args.data):
        return
    deadline = time.monotonic() + 60 * args.minutes
    methods = available(args.methods)
    trained = set(methods) & set(TRAINED_BASES)
    fingerprint, hidden_size, precision = facts_of(args.base) if trained else ("", 0, "auto")
    wanted = plan_runs(
        args.only,
        methods,
        args.sizes,
        args.seeds,
        fingerprint=fingerprint,
        settings={method: settings_of(method, hidden_size) for method in TRAINED_BASES},
    )
    if results.drop_torn_line(args.results):
        print(f"{args.results}：最后一行不完整，已去掉 | dropped a torn last line")
    done = {result.run for result in results.read(args.results)}
    runs = [run for run in wanted if run not in done]
    print(f"{len(runs)} 项要跑，{len(wanted) - len(runs)} 项已有 | to do, the latter are there already", flush=True)
    setting = Setting(args.data, args.base, precision)
    for count, result in enumerate(carry_out(runs, setting, workers=args.jobs, deadline=deadline), 1):
        results.append(args.results, result)
        told = f"{result.data} {result.method} {result.size} #{result.seed}: {100 * result.accuracy:.1f}"
        print(f"[{count}/{len(runs)}] {told} (n={result.n}, {result.seconds:.0f} s)", flush=True)
    table.write(args.results, args.docs)


def available(methods: Sequence[str]) -> list[str]:
    """Those that can be run here; SnowNLP is a dependency of this benchmark alone."""
    if "snownlp" in methods and find_spec("snownlp") is None:
        print("没有装 snownlp，跳过：pip install snownlp | snownlp is not installed, skipped")
        return [method for method in methods if method != "snownlp"]
    return list(methods)


def facts_of(base: str) -> tuple[str, int, PrecisionChoice]:
    """The fingerprint of the base, its width, and the precision of all runs (settled once: probes may differ)."""
    from qingtiao.models.base import load_base
    from qingtiao.models.device import pick_device, pick_precision

    loaded = load_base(base, revision=None, auto_class="AutoModelForSequenceClassification", model_options={})
    return loaded.fingerprint[:16], loaded.hidden_size, pick_precision("auto", pick_device())


if __name__ == "__main__":
    main()
