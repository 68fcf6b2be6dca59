"""Splitting and sampling: seeded, stratified by label, near-duplicates kept on one side."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from qingtiao.data.duplicates import row_groups
from qingtiao.errors import DataError
from qingtiao.types import Dataset, Row

_Group = list[int]


def split(rows: Sequence[Row], *, dev_share: float, test_share: float, seed: int, threshold: float) -> Dataset:
    """`rows` as train, dev and test; a share of 0 leaves that split empty. Each split keeps the order of `rows`.

    A group of near-duplicates goes to one side whole, and every label is in every split.

    Raises:
        DataError: no rows, one label only, or a label with too few different texts to be in every split.
    """
    shares = {name: share for name, share in (("test", test_share), ("dev", dev_share)) if share > 0}
    strata = _strata(rows, threshold=threshold)
    _refuse_impossible(rows, strata, parts=1 + len(shares))
    side = ["train"] * len(rows)
    for label in sorted(strata):
        groups = strata[label]
        random.Random(f"{seed}:{label}").shuffle(groups)
        size = sum(map(len, groups))
        for left, (name, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
            for index in (i for group in _take(groups, round(size * share), leave=left) for i in group):
                side[index] = name
    made = {name: tuple(row for row, s in zip(rows, side, strict=True) if s == name) for name in ("train", *shares)}
    return Dataset(**made)


def sample(rows: Sequence[Row], n: int, *, seed: int) -> list[Row]:
    """`n` of `rows` at random, labels in proportion and each present while `n` allows it; all when there are fewer."""
    if n >= len(rows):
        return list(rows)
    members: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        members[_stratum(row)].append(index)
    quotas = _quotas({label: len(found) for label, found in members.items()}, n)
    chosen: list[int] = []
    for label in sorted(members):
        chosen += random.Random(f"{seed}:{label}").sample(members[label], quotas[label])
    return [rows[index] for index in sorted(chosen)]


def _strata(rows: Sequence[Row], *, threshold: float) -> dict[str, list[_Group]]:
    """The groups of near-duplicates by label; a group with several labels stands under its commonest one."""
    groups: dict[int, _Group] = defaultdict(list)
    for index, number in enumerate(row_groups(rows, threshold=threshold)):
        groups[number].append(index)
    strata: dict[str, list[_Group]] = defaultdict(list)
    for group in groups.values():
        counts = Counter(_stratum(rows[index]) for index in group)
        strata[max(sorted(counts), key=lambda label: counts[label])].append(group)
    return strata


def _stratum(row: Row) -> str:
    return row.target if isinstance(row.target, str) else ""


def _take(groups: list[_Group], wanted: int, *, leave: int) -> list[_Group]:
    """Move groups of about `wanted` rows together out of `groups`: at least one, and at least `leave` stay."""
    taken: list[_Group] = []
    need = max(1, wanted)
    for group in list(groups):
        if len(group) <= need and len(groups) > leave:
            need -= len(group)
            groups.remove(group)
            taken.append(group)
        if not need:
            break
    if not taken:  # every group is bigger than the share: the smallest one does least harm
        smallest = min(groups, key=len)
        groups.remove(smallest)
        taken.append(smallest)
    return taken


def _quotas(counts: dict[str, int], n: int) -> dict[str, int]:
    """Largest remainders, after one row for every label as far as `n` reaches."""
    total = sum(counts.values())
    order = sorted(counts, key=lambda label: (-counts[label], label))
    quotas = {label: int(rank < n) for rank, label in enumerate(order)}
    while (left := n - sum(quotas.values())) > 0:
        lacking = {label: n * counts[label] / total - quotas[label] for label in order if quotas[label] < counts[label]}
        for label in sorted(lacking, key=lambda label: (-lacking[label], label))[:left]:
            quotas[label] += min(max(1, int(lacking[label])), n - sum(quotas.values()), counts[label] - quotas[label])
    return quotas


def _refuse_impossible(rows: Sequence[Row], strata: dict[str, list[_Group]], *, parts: int) -> None:
    labels = Counter(_stratum(row) for row in rows)
    if not rows:
        raise DataError(
            "没有数据行可以划分",
            "There are no rows to split",
            todo_zh="检查数据文件是不是空的。",
            todo_en="Check whether the data file is empty.",
        )
    if len(labels) < 2 and "" not in labels:
        raise DataError(
            f"{rows[0].place.source} 只有一种标签：{next(iter(labels))}，没法训练分类",
            f"{rows[0].place.source} holds only one label, {next(iter(labels))}: nothing to classify",
            todo_zh="补充其它标签的数据，或者用 --label-column 指对标签列。",
            todo_en="Add rows with other labels, or name the right column with --label-column.",
        )
    rare = {label: len(strata.get(label, [])) for label in labels if len(strata.get(label, [])) < parts}
    if rare:
        raise _too_rare(rare, labels, rows[0].place.source, parts)


def _too_rare(rare: dict[str, int], labels: Counter[str], source: str, parts: int) -> DataError:
    shown = "、".join(f"{label}（{labels[label]} 行，{n} 种不同文本）" for label, n in sorted(rare.items()))
    shown_en = ", ".join(f"{label} ({labels[label]} rows, {n} different texts)" for label, n in sorted(rare.items()))
    return DataError(
        f"{source} 里有的标签太少，分不进 {parts} 份：{shown}",
        f"{source}: too few rows to put every label into {parts} splits: {shown_en}",
        todo_zh=f"每个标签至少要 {parts} 条互不相似的文本：补数据、合并标签，或者用 --dev/--test 给出自己划分的文件。",
        todo_en=f"Each label needs {parts} dissimilar texts: add rows, merge labels, or give --dev and --test files.",
    )
