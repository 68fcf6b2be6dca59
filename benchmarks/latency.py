"""How long one prediction takes on one core, text in and label out.

    python benchmarks/latency.py [--bundle runs/demo/bundle]

The bundle is that of `qingtiao demo`; without it nothing is measured.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from qingtiao.predict import Predictor

TEXT = "房间很干净，前台也客气，就是早餐品种少了点，下次来还住这里"
ROUNDS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("runs/demo/bundle"))
    args = parser.parse_args()
    if not args.bundle.is_dir():
        # `make bench` runs every script: one that lacks its bundle is no failure.
        print(f"没有 {args.bundle}，跳过：先运行 qingtiao demo。| No {args.bundle}, skipped: run qingtiao demo first.")
        return
    import torch

    from qingtiao.bundle import load_bundle

    torch.set_num_threads(1)
    predictor = load_bundle(args.bundle)
    taken = [seconds(predictor) for _ in range(10 + ROUNDS)][10:]
    low, middle, high = (1000 * float(np.quantile(taken, share)) for share in (0.05, 0.5, 0.95))
    print(f"{len(TEXT)} 字 characters: {middle:.1f} ms（5 %–95 %：{low:.1f}–{high:.1f}）")


def seconds(predictor: Predictor) -> float:
    started = time.perf_counter()
    predictor.predict([TEXT])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
