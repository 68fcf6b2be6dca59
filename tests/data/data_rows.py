"""Rows written down in a test."""

from __future__ import annotations

from collections.abc import Iterable

from qingtiao.types import Place, Row


def rows_of(pairs: Iterable[tuple[str, str]], source: str = "a.csv") -> tuple[Row, ...]:
    return tuple(Row(text, label, Place(source, number)) for number, (text, label) in enumerate(pairs, 2))
