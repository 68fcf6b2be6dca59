"""Records put aside until the last one is known: only then does a table know its columns."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

_BATCH = 1024

Fields = Mapping[str, Any]


class Spill:
    """Records on disk, in their order, and every column that one of them has."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.names: list[str] = []

    def add(self, batch: Sequence[Fields]) -> None:
        known = set(self.names)
        for fields in batch:
            if not fields.keys() <= known:
                _place(self.names, fields)
                known = set(self.names)
        # Dates and decimals come back as what they were, which JSON could not say.
        pickle.dump([dict(fields) for fields in batch], self._file, protocol=pickle.HIGHEST_PROTOCOL)

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        end = self._file.seek(0, 2)
        self._file.seek(0)
        while self._file.tell() < end:
            yield pickle.load(self._file)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return chain.from_iterable(self.batches())


@contextmanager
def spilled(
    records: Iterable[Fields], folder: Path, *, seen: Callable[[Sequence[Fields]], None] | None = None
) -> Iterator[Spill]:
    """All of `records`, read to their end and put aside in `folder`, in constant memory.

    The file has no name, so nobody else can change what is read back, and it is gone with the process however that
    ends.

    Args:
        seen: is shown the records on their way, some at a time.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        spill = Spill(file)
        rest = iter(records)
        while batch := list(islice(rest, _BATCH)):
            spill.add(batch)
            if seen is not None:
                seen(batch)
        yield spill


def _place(names: list[str], fields: Iterable[str]) -> None:
    """A new name goes behind the one that it follows in its own record."""
    at = 0
    for name in fields:
        if name in names:
            at = names.index(name) + 1
        else:
            names.insert(at, name)
            at += 1
