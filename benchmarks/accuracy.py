"""The accuracy table: `mini-zh` + LoRA beside TF-IDF on public data, on all test rows and on the clean ones.

    python benchmarks/accuracy.py [--data FOLDER] [--out FOLDER] [--only NAME ...]

FOLDER (or the variable QINGTIAO_BENCHMARK_DATA) holds `chnsenticorp/{train,dev,test}.tsv`, `waimai_10k.csv` and
`thucnews_titles/{train,dev,test}.jsonl.gz`. Prints one Markdown row a method; the full reports stay in --out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qingtiao.bundle import read_manifest
from qingtiao.cli.progress import follow
from qingtiao.config import RunConfig, parse
from qingtiao.workflows.train import train

# Waimai comes undivided: we split it. The titles are many: a sample of the training rows, all test rows.
DATA: dict[str, dict[str, Any]] = {
    "chnsenticorp": {f"{s}": f"chnsenticorp/{s}.tsv" for s in ("train", "dev", "test")},
    "waimai": {"train": "waimai_10k.csv"},
    "thucnews": {f"{s}": f"thucnews_titles/{s}.jsonl.gz" for s in ("train", "dev", "test")} | {"sample": 10_000},
}


def rows(name: str, report: dict[str, Any], *, trained: int) -> Iterator[str]:
    blocks = {"mini-zh + LoRA": report, **report["baselines"]}
    for method, block in blocks.items():
        cells = [cell(block[part]) for part in ("test", "clean_test")]
        yield f"| {name} | {trained} | {method} | {cells[0]} | {cells[1]} |"


def cell(block: dict[str, Any]) -> str:
    low, high = (100 * bound for bound in block["accuracy_ci"])
    return f"{100 * block['accuracy']:.1f} [{low:.1f}, {high:.1f}], F1 {100 * block['macro_f1']:.1f}, n={block['n']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("QINGTIAO_BENCHMARK_DATA"))
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--only", nargs="*", choices=sorted(DATA), default=sorted(DATA))
    args = parser.parse_args()
    if args.data is None:
        # `make bench` runs every script: one that lacks its data is no failure.
        print("没有数据，跳过：用 --data 指出文件夹。| No data, skipped: name the folder with --data.")
        return
    for name in args.only:
        sources = {key: str(Path(args.data) / v) if isinstance(v, str) else v for key, v in DATA[name].items()}
        config = parse(RunConfig, {"data": sources, "out": str(args.out / name)})
        result = follow(train(config, overwrite=True), out=config.out, quiet=False)
        report = result.report.as_json()
        trained = read_manifest(result.bundle).data["train"]["rows"]
        print("\n".join(rows(name, report, trained=trained)))
        verdict = report["verdict"]
        print(f"<!-- {name}: {verdict['code']}, p = {verdict['p']:.2g}, {report['seconds']:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
