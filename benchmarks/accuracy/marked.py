"""The part of a page that a benchmark writes: what stands between two marks."""

from __future__ import annotations

from pathlib import Path

from qingtiao.files import atomic_write_text


def put_between(docs: Path, begin: str, end: str, text: str) -> None:
    """Write `text` between the two marks in `docs`."""
    before, first, rest = docs.read_text(encoding="utf-8").partition(begin)
    _, second, after = rest.partition(end)
    if not (first and second):
        raise SystemExit(f"{docs} 里没有两个标记 | lacks the two markers: {begin} {end}")
    atomic_write_text(docs, f"{before}{begin}\n\n{text}\n\n{end}{after}")
