"""Rewrite the tables of docs/accuracy.md from the results file.

    python benchmarks/accuracy/table.py [--results FILE] [--docs FILE]

Of each method the newest base and settings in the file are shown, of these every seed there is.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from corpora import CORPORA, SIZES, Size
from marked import put_between
from methods import METHODS, TRAINED_BASES, UNTRAINED
from numpy.typing import NDArray
from results import Result, read

from qingtiao.evaluate.stats import LEVEL, RESAMPLES, Interval

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.jsonl"
DOCS = HERE.parents[1] / "docs" / "accuracy.md"
BEGIN, END = "<!-- accuracy tables: begin -->", "<!-- accuracy tables: end -->"
SEEDS = 5
_BOOTSTRAP_SEED = 1

Floats = NDArray[np.float64]
Signed = NDArray[np.int8]  # shape (seeds, test rows): of one method 0 or 1, of a difference -1, 0 or 1


class Estimate(NamedTuple):
    mean: float
    interval: Interval


class Cell(NamedTuple):
    """The results of one method at one size, by seed."""

    by_seed: dict[int, Result]

    def right(self, seeds: Sequence[int]) -> Signed:
        return np.stack([self.by_seed[seed].right() for seed in seeds]).astype(np.int8)


Cells = dict[tuple[str, str, Size], Cell]  # by data set, method and size


def bootstrap(values: Signed, *, resamples: int = RESAMPLES, level: float = LEVEL) -> Estimate:
    """The mean of `values` with a percentile interval over seeds and rows, both drawn anew in each resample.

    Rows alike in all seeds are interchangeable, so drawing rows is one multinomial draw over the kinds of rows.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8 (more than one level).
    """
    seeds, rows = values.shape
    kinds, counts = np.unique(values, axis=1, return_counts=True)
    generator = np.random.default_rng(_BOOTSTRAP_SEED)
    seed_weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    row_weights = generator.multinomial(rows, counts / rows, size=resamples) / rows
    means: Floats = np.einsum("bs,sk,bk->b", seed_weights, kinds.astype(np.float64), row_weights, optimize=True)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values.mean()), Interval(float(low), float(high)))


def collect(results: Iterable[Result]) -> Cells:
    """The cells of the table; of methods that train a base those of the newest base and settings alone."""
    kept = list(results)
    newest = {result.method: (result.base, result.settings) for result in kept}
    cells: Cells = defaultdict(lambda: Cell({}))
    for result in kept:
        if (result.base, result.settings) == newest[result.method]:
            cells[result.data, result.method, result.size].by_seed[result.seed] = result
    return dict(cells)


def render(results: Iterable[Result]) -> str:
    """What stands between the markers."""
    cells = collect(results)
    bases = sorted({r.base for (_, method, _), cell in cells.items() if method in TRAINED_BASES for r in _of(cell)})
    blocks = [_block(name, cells) for name in CORPORA if any(data == name for data, _, _ in cells)]
    told = [f"基座指纹 base fingerprint: {'、'.join(bases)}"] if bases else []
    return "\n\n".join([*told, *blocks] or ["还没有结果。| No results yet."])


def write(results: Path, docs: Path) -> None:
    """Put the tables of `results` between the markers in `docs`; the rest of the page stays."""
    put_between(docs, BEGIN, END, render(read(results)))


def _block(name: str, cells: Cells) -> str:
    mine = {(method, size): cell for (data, method, size), cell in cells.items() if data == name}
    shown_always: set[Size] = {*SIZES, "all"}
    sizes = sorted(shown_always | {size for _, size in mine if size != 0}, key=_rank)
    n = next(_of(cell)[0].n for cell in mine.values())
    lines = [
        f"### {name}",
        "",
        f"测试行 test rows: {n}",
        "",
        f"| 方法 method | {' | '.join(_heading(size, mine) for size in sizes)} |",
        "|---" * (1 + len(sizes)) + "|",
    ]
    for method in METHODS:
        shown = [_shown(mine.get((method, 0 if method in UNTRAINED else size))) for size in sizes]
        if any(shown):
            lines.append(f"| {method} | {' | '.join(shown)} |")
    comparisons = [text for size in sizes if (text := _comparison(size, mine))]
    if comparisons:
        lines += ["", f"lora − tfidf: {'; '.join(comparisons)}."]
    return "\n".join(lines)


def _of(cell: Cell) -> list[Result]:
    return list(cell.by_seed.values())


def _rank(size: Size) -> float:
    return float("inf") if size == "all" else size


def _heading(size: Size, mine: dict[tuple[str, Size], Cell]) -> str:
    if size != "all":
        return str(size)
    rows = next((_of(cell)[0].rows for (_, of), cell in mine.items() if of == "all"), None)
    return f"全部 all ({rows})" if rows else "全部 all"


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    estimate = bootstrap(cell.right(sorted(cell.by_seed)))
    few = len(cell.by_seed) < SEEDS and _of(cell)[0].size != 0
    return f"{_percent(estimate)}{f' (seeds: {len(cell.by_seed)})' if few else ''}"


def _comparison(size: Size, mine: dict[tuple[str, Size], Cell]) -> str:
    """Whether lora beats tfidf, on the seeds that both have: they share the training rows of a seed."""
    lora, tfidf = mine.get(("lora", size)), mine.get(("tfidf", size))
    seeds = sorted(lora.by_seed.keys() & tfidf.by_seed.keys()) if lora and tfidf else []
    if not (lora and tfidf and seeds):
        return ""
    ours, theirs = lora.right(seeds), tfidf.right(seeds)
    difference = bootstrap(ours - theirs)
    low, high = difference.interval
    verdict = "胜 ahead" if low > 0 else "负 behind" if high < 0 else "未分 undecided"
    first, second = bootstrap(ours).interval, bootstrap(theirs).interval
    apart = first.low > second.high or second.low > first.high
    touch = "两区间不相交 intervals apart" if apart else "两区间相交 intervals touch"
    return f"{size}: {_percent(difference, sign='+')}, {verdict}, {touch}"


def _percent(estimate: Estimate, *, sign: str = "") -> str:
    mean, low, high = (f"{100 * value:{sign}.1f}" for value in (estimate.mean, *estimate.interval))
    return f"{mean} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=DOCS)
    args = parser.parse_args()
    write(args.results, args.docs)


if __name__ == "__main__":
    main()
