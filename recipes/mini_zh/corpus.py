"""Raw text in, clean documents out: nothing that shares a passage with an evaluation set."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtiao.data.duplicates import near_matches

WINDOW = 16  # characters two texts must share before one counts as a copy of the other


def clean(text: str) -> str:
    return unicodedata.normalize("NFKC", text.replace("␤", "\n")).lower()


def letters(text: str) -> str:
    """What is compared when looking for copies: no spaces, no punctuation."""
    return "".join(char for char in text if char.isalnum())


def documents(path: Path) -> Iterator[str]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield clean(line.strip())


def evaluation_texts(root: Path) -> Iterator[str]:
    """Every string that a dev, test or undivided evaluation file holds (training rows are fair game)."""
    for path in sorted(root.rglob("*")):
        name = path.name
        if "pretrain" in path.relative_to(root).parts or not path.is_file() or name.startswith("train"):
            continue
        if name.endswith((".csv", ".tsv")):
            with path.open(encoding="utf-8", newline="") as file:
                delimiter, quoting = ("\t", csv.QUOTE_NONE) if name.endswith(".tsv") else (",", csv.QUOTE_MINIMAL)
                for row in csv.reader(file, delimiter=delimiter, quoting=quoting):
                    yield from row
        elif name.endswith(".jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    yield from _strings(json.loads(line))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) and len(item) == 1 for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _strings(item)


def window_hashes(text: str) -> NDArray[np.uint64]:
    """A polynomial hash of every `WINDOW` consecutive characters; empty when the text is shorter."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    count = max(len(codes) - WINDOW + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(WINDOW):
        hashes = hashes * np.uint64(1099511628211) + codes[offset : offset + count]
    return hashes


class HeldOut:
    """The passages of the evaluation sets, for asking whether a document holds one of them."""

    def __init__(self, texts: Iterator[str]) -> None:
        windows, self.short = [], set()
        self.texts = sorted({text for text in texts if text.strip()})
        for text in self.texts:
            plain = letters(clean(text))
            if len(plain) >= WINDOW:
                windows.append(window_hashes(plain))
            else:
                self.short.add(plain)
        self.windows = np.unique(np.concatenate(windows)) if windows else np.empty(0, dtype=np.uint64)

    def holds(self, document: str) -> bool:
        """Whether `document` shares `WINDOW` characters in a row with a held-out text, or is one that is shorter."""
        plain = letters(document)
        hashes = window_hashes(plain)
        if len(plain) < WINDOW or not len(self.windows):
            return plain in self.short
        places = np.minimum(np.searchsorted(self.windows, hashes), len(self.windows) - 1)
        return bool(np.any(self.windows[places] == hashes))


def uncontaminated(path: Path, held_out: HeldOut) -> tuple[list[str], int]:
    """The documents of `path` that copy nothing held out, and how many were dropped."""
    given = list(documents(path))
    apart = [document for document in given if not held_out.holds(document)]
    # Short texts may be near-duplicates without sharing a whole window.
    matches = near_matches(apart, held_out.texts, threshold=0.5)
    kept = [document for document, match in zip(apart, matches, strict=True) if match is None]
    return kept, len(given) - len(kept)
