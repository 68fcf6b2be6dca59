"""Prove a bundle: a fresh process loads it and must give what the trained model gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qingtiao.bundle import load_bundle
from qingtiao.errors import QingtiaoError
from qingtiao.task import Output
from qingtiao.types import Place, Row

# Two float32 runs over batches of other shapes differ by rounding, no more.
TOLERANCE = 1e-4
# What a distributed launcher tells its workers; the process that proves is not one of them.
_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def prove(bundle: Path, rows: Sequence[Row], expected: Sequence[Output]) -> float:
    """The largest difference between `expected`, the task's `judge` of `rows`, and what a fresh process computes.

    Raises:
        QingtiaoError: the process failed, or its figures differ by more than `TOLERANCE`. Exit code 1: the
            user has done nothing wrong.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _LAUNCHER_VARIABLES}
    answer = subprocess.run(
        # -P: a types.py in the user's folder is not ours to import; utf8: whatever the console's code page is.
        [sys.executable, "-P", "-X", "utf8", "-c", "from qingtiao.proof import answer; answer()"],
        input=json.dumps({"bundle": str(bundle.absolute()), "rows": [_as_json(row) for row in rows]}, default=str),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    if answer.returncode != 0:
        raise _unproved(bundle, answer.stderr.strip()[-2000:])
    actual = [np.array(output, dtype=np.float32) for output in json.loads(answer.stdout.splitlines()[-1])]
    difference = largest_difference(actual, expected)
    if not difference <= TOLERANCE:
        raise _unproved(bundle, f"max |Δlogit| = {difference}")
    return difference


def answer() -> None:
    """The other side: a request on standard input, the judged rows on standard output."""
    request = json.load(sys.stdin)
    predictor = load_bundle(Path(request["bundle"]), merge=False)
    rows = [Row(**{**row, "place": Place(*row["place"]), "parts": tuple(row["parts"])}) for row in request["rows"]]
    print(json.dumps([output.tolist() for output in predictor.judge(rows)]))


def _as_json(row: Row) -> dict[str, object]:
    return {"text": row.text, "target": row.target, "place": row.place, "fields": row.fields, "parts": row.parts}


def largest_difference(actual: Sequence[Output], expected: Sequence[Output]) -> float:
    """Between any two figures of the same row; infinite where the shapes of one differ."""
    return max((_difference(a, b) for a, b in zip(actual, expected, strict=True)), default=0.0)


def _difference(actual: Output, expected: Output) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual - expected).max()) if actual.size else 0.0


def _unproved(bundle: Path, reason: str) -> QingtiaoError:
    return QingtiaoError(
        f"重新加载 {bundle} 得不到训练时的结果：{reason}",
        f"{bundle}, reloaded, does not give what the trained model gave: {reason}",
        todo_zh="这是轻调的问题，请带上这段话报告。训练进度还在，修好后加 --resume 可以接着保存。",
        todo_en="This is a fault of Qingtiao: please report it. Progress is kept; --resume saves it once mended.",
    )
