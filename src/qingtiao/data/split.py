"""Seeded splits: every class on every side, near-duplicates on one side only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from qingtiao.data.duplicates import near_duplicate_groups
from qingtiao.errors import DataError
from qingtiao.types import Dataset, Row


def split(rows: Sequence[Row], *, dev_share: float, test_share: float, seed: int, threshold: float) -> Dataset:
    """Part `rows` into train, dev and test; a share of 0 leaves that split empty.

    Groups of near-duplicates stay whole. Each class is dealt out by itself, so that shares hold within every class;
    a group belongs to the class of its first row. The order of the rows is kept.

    Raises:
        DataError: a class has too few rows (or groups) to be on every side.
    """
    groups = near_duplicate_groups([row.text for row in rows], threshold=threshold)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups.tolist()):
        members[group].append(index)
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for group in members:
        by_class[str(rows[group].target)].append(group)
    shares = {name: share for name, share in (("test", test_share), ("dev", dev_share)) if share > 0}
    _refuse_small_classes(by_class, parts=len(shares) + 1)
    where = np.full(len(rows), "train", dtype="<U5")
    rng = np.random.default_rng(seed)
    for label in sorted(by_class):
        dealt = rng.permutation(by_class[label]).tolist()
        size = sum(len(members[group]) for group in dealt)
        for name, share in shares.items():
            taken = 0
            # At least one group; never the last ones, which train needs.
            while len(dealt) > 1 and taken < max(1, round(share * size)):
                group = dealt.pop()
                where[members[group]] = name
                taken += len(members[group])
    parts = {
        name: tuple(row for row, side in zip(rows, where, strict=True) if side == name)
        for name in ("train", "dev", "test")
    }
    return Dataset(**parts)


def sample(rows: Sequence[Row], size: int, *, seed: int) -> list[Row]:
    """`size` rows at random, each class by its share (largest remainders); all of them when there are no more.

    The order of the rows is kept.
    """
    if size >= len(rows):
        return list(rows)
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_class[str(row.target)].append(index)
    quotas = _quotas({label: len(indices) for label, indices in by_class.items()}, size)
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in sorted(by_class):
        chosen += rng.permutation(by_class[label])[: quotas[label]].tolist()
    return [rows[index] for index in sorted(chosen)]


def _quotas(counts: Mapping[str, int], size: int) -> dict[str, int]:
    total = sum(counts.values())
    exact = {label: size * count / total for label, count in counts.items()}
    quotas = {label: int(value) for label, value in exact.items()}
    left = size - sum(quotas.values())
    for label in sorted(exact, key=lambda name: (quotas[name] - exact[name], name))[:left]:
        quotas[label] += 1
    return quotas


def _refuse_small_classes(by_class: Mapping[str, Sequence[int]], *, parts: int) -> None:
    small = {label: len(groups) for label, groups in by_class.items() if len(groups) < parts}
    if len(by_class) < 2:
        # One class cannot be learnt; the task says so in its own words.
        return
    if small:
        names_zh = "、".join(f"{label}（{count}）" for label, count in sorted(small.items()))
        names_en = ", ".join(f"{label} ({count})" for label, count in sorted(small.items()))
        raise DataError(
            f"这些标签不同的文本太少，分不到 {parts} 份里：{names_zh}",
            f"These labels have too few different texts to be split into {parts} parts: {names_en}",
            todo_zh=f"每个标签至少要 {parts} 条互不相似的文本；补数据、合并标签，或者自己给 --dev 和 --test。",
            todo_en=f"Every label needs {parts} dissimilar texts: add some, merge labels, or give --dev and --test.",
        )
