"""What is wrong with the labels of a data set."""

from __future__ import annotations

import json
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import chain, islice

import yaml

from qingtiao.data.findings import SPLIT_NAMES, Finding, Splits, Where, Words
from qingtiao.types import References, Row

_SHOWS_IMBALANCE = 3
_HEAVY_IMBALANCE = 10
_MOST_PAIRS = 10


def audit_labels(splits: Splits, findings: list[Finding], *, renames: bool) -> dict[str, dict[str, int]]:
    """Rows by label in each split; empty for tasks whose targets are not labels.

    With `renames` the labels can be given other names by the `label_names` of the task's options.
    """
    findings += _alike(splits, renames=renames)  # first: it may explain the rest
    if not all(isinstance(row.target, str) for rows in splits.values() for row in rows):
        return {}
    tables = {name: dict(sorted(Counter(row.target for row in rows).items())) for name, rows in splits.items()}
    everything = sorted(set(chain.from_iterable(tables.values())))
    for name, table in tables.items():
        if missing := [label for label in everything if label not in table]:
            findings.append(_missing_class(name, missing, len(everything)))
        if rare := [label for label in table if table[label] < 2]:
            rows = [row for row in splits[name] if row.target in rare]
            findings.append(_rare_class(name, rare, len(everything), rows))
    findings += _imbalance(tables.get("train", {}))
    return tables


def _missing_class(name: str, missing: list[str], total: int) -> Finding:
    return Finding(
        "missing_class",
        "error" if name == "train" else "warning",
        name,
        len(missing),
        total,
        Words(
            f"{SPLIT_NAMES[name]}里没有标签：{'、'.join(missing)}", f"{name} has no row labelled {', '.join(missing)}"
        ),
        Words("学不到，或者评不到这些标签", "These labels cannot be learnt, or not be judged"),
        Words("补数据，或者不给 --dev/--test，让划分按标签来", "Add rows, or leave the splitting to us"),
    )


def _rare_class(name: str, rare: list[str], total: int, rows: list[Row]) -> Finding:
    return Finding(
        "rare_class",
        "warning",
        name,
        len(rare),
        total,
        Words(
            f"{SPLIT_NAMES[name]}里只有一行的标签：{'、'.join(rare)}", f"{name}: labels with one row: {', '.join(rare)}"
        ),
        Words("一行学不出一类，也评不出一类", "One row neither teaches nor measures a class"),
        Words("补数据，或者并入别的标签", "Add rows, or merge the label into another"),
        Where(rows),
    )


def _imbalance(table: Mapping[str, int]) -> list[Finding]:
    if len(table) < 2:
        return []
    most, least = max(table, key=lambda k: table[k]), min(table, key=lambda k: table[k])
    ratio = table[most] / table[least]
    if ratio < _SHOWS_IMBALANCE:
        return []
    return [
        Finding(
            "imbalance",
            "warning" if ratio >= _HEAVY_IMBALANCE else "info",
            "train",
            table[least],
            sum(table.values()),
            Words(
                f"标签失衡：{most} {table[most]} 行，{least} {table[least]} 行（{ratio:.1f} 倍）",
                f"Imbalance: {table[most]} rows of {most}, {table[least]} of {least} ({ratio:.1f} times)",
            ),
            Words("准确率会好看，少的一类却学不好", "Accuracy will look good while the small class is learnt badly"),
            Words("看 macro-F1（默认就是它），补少的那类", "Go by macro-F1 (the default), add rows of the small class"),
        )
    ]


def _alike(splits: Splits, *, renames: bool) -> list[Finding]:
    """Labels that a reader takes for one: alike but for width, case and the space around."""
    rows = list(chain.from_iterable(splits.values()))
    counts = Counter(chain.from_iterable(_labels(row, renames=renames) for row in rows))
    alike: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        alike[unicodedata.normalize("NFKC", label).casefold().strip()].append(label)
    kept = {other: first for first, *others in alike.values() for other in others}
    if not kept:
        return []
    other_rows = [row for row in rows if not kept.keys().isdisjoint(_labels(row, renames=renames))]
    shown = dict(islice(kept.items(), _MOST_PAIRS))
    pairs = "、".join(f"{first}（{counts[first]}）/ {other}（{counts[other]}）" for other, first in shown.items())
    pairs_en = ", ".join(f"{first} ({counts[first]}) / {other} ({counts[other]})" for other, first in shown.items())
    more = len(kept) > len(shown)
    rename = " ".join(_renaming(other, first) for other, first in shown.items()) + (" …" if more else "")
    return [
        Finding(
            "alike_labels",
            "warning",
            None,
            len(other_rows),
            len(rows),
            Words(
                f"有的标签看起来一样，却算成了不同的类：{pairs}" + ("……" if more else ""),
                f"Labels that look the same count as different classes: {pairs_en}" + (" …" if more else ""),
            ),
            Words("同一类被拆成两类，两边都学不好", "One class is torn in two, and both are learnt badly"),
            Words(
                "在文件里统一写法" + (f"；或者训练时加 {rename}" if renames else ""),
                "Spell them alike in the file" + (f", or train with {rename}" if renames else ""),
            ),
            Where(other_rows),
        )
    ]


def _labels(row: Row, *, renames: bool) -> tuple[str, ...]:
    """A label, or a set of them; a task that can give no names has none in its sets (they are keywords, say)."""
    if isinstance(row.target, str):
        return (row.target,)
    if renames and isinstance(row.target, tuple) and not isinstance(row.target, References):
        return tuple(label for label in row.target if isinstance(label, str))
    return ()


def _renaming(old: str, new: str) -> str:
    # A value that YAML takes for something other than text is quoted, and the whole for the shell.
    value = new if _is_plain_yaml(new) else json.dumps(new, ensure_ascii=False)
    return "--set " + shlex.quote(f"task_options.label_names.{old}={value}")


def _is_plain_yaml(text: str) -> bool:
    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return False
