"""The results file: one JSON line a run, on disk before the next one counts."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from corpora import Size
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Run:
    """What a result is known by. `base` is the fingerprint of the base, `settings` a hash of how it is trained.

    Methods without a base leave both empty, so that a new base costs them nothing. An untrained method has size 0.
    """

    data: str
    method: str
    size: Size
    seed: int
    base: str
    settings: str


@dataclass(frozen=True)
class Result(Run):
    """A run's outcome. `rows` were trained on; `correct` has a bit for each of the `n` test rows, packed, base64."""

    accuracy: float
    macro_f1: float
    n: int
    rows: int
    seconds: float
    precision: str
    correct: str

    @property
    def run(self) -> Run:
        return Run(**{field.name: getattr(self, field.name) for field in fields(Run)})

    def right(self) -> Bools:
        """Whether each test row was right, shape (n,)."""
        return unpacked(self.correct, self.n)


def packed(right: Bools) -> str:
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpacked(text: str, n: int) -> Bools:
    """What `packed` made of `n` bits."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=n).astype(np.bool_)


def append(path: Path, result: Result) -> None:
    """Add a line and wait until it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[Result]:
    """The results in the file, none when it is not there; a torn last line is not one."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield Result(**json.loads(line))


def drop_torn_line(path: Path) -> bool:
    """Cut off a last line without an end, as a kill or a power cut leaves it; tells whether there was one."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return False
    os.truncate(path, whole)
    return True
