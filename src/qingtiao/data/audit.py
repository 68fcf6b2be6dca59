"""What is wrong with a data set, counted and said in words. Nothing is changed; `data.clean` does that."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from qingtiao.data.damage import is_damaged
from qingtiao.data.duplicates import copy_key, row_groups, row_matches
from qingtiao.data.findings import AuditReport, Finding, Words, examples
from qingtiao.types import Dataset, References, Row

__all__ = ["AuditReport", "Finding", "audit"]

_SHOWS_IMBALANCE = 3
_HEAVY_IMBALANCE = 10
_PAIRS = (("test", "train"), ("dev", "train"), ("test", "dev"))
_FIX = Words("运行 qingtiao audit … --fix 目录", "Run qingtiao audit ... --fix FOLDER")
_NAMES = {"train": "训练集", "dev": "验证集", "test": "测试集"}
_Splits = Mapping[str, tuple[Row, ...]]


def audit(dataset: Dataset, *, max_length: int | None, threshold: float) -> AuditReport:
    """Look for empty and damaged texts, duplicates, leaks between splits, contradicting labels, rare or missing
    classes, imbalance and texts over `max_length` characters (a Chinese character is about one token).

    Exact duplicates are equal after stripping whitespace at the ends; near ones have a 5-gram Jaccard of `threshold`.
    """
    splits = dataset.splits()
    counts: dict[str, object] = {"rows": {name: len(rows) for name, rows in splits.items()}}
    findings: list[Finding] = []
    for name, rows in splits.items():
        findings += _faulty(name, rows)
    counts["exact_duplicates"] = {name: _exact(name, rows, findings) for name, rows in splits.items()}
    counts["near_duplicates"] = {name: _near(name, rows, threshold, findings) for name, rows in splits.items()}
    counts["leaks"], counts["near_leaks"] = _leaks(splits, threshold, findings)
    by_split = {name: len(_torn(rows)) for name, rows in splits.items()}
    # The headline figure is about the rows that are learnt; a text torn between splits is a leak as well.
    counts["label_conflicts"] = by_split.get("train", 0)
    counts["label_conflicts_by_split"] = {**by_split, "all": _conflicts(splits, findings)}
    counts["labels"] = _classes(splits, findings)
    counts["lengths"] = _lengths(splits, max_length, findings)
    order = {"error": 0, "warning": 1, "info": 2}
    return AuditReport(tuple(sorted(findings, key=lambda finding: order[finding.severity])), counts)


def _faulty(name: str, rows: Sequence[Row]) -> list[Finding]:
    empty = [row for row in rows if not row.text.strip()]
    damaged = [row for row in rows if is_damaged(row.text)]
    zh, found = _NAMES[name], []
    if empty:
        found.append(
            Finding(
                "empty",
                "warning",
                name,
                len(empty),
                len(rows),
                Words(f"{zh}有 {len(empty)} 条空文本", f"{name}: {len(empty)} empty texts"),
                Words("空文本教不会模型什么，只会带偏比例", "They teach nothing and skew the label shares"),
                _FIX,
                examples(empty),
            )
        )
    if damaged:
        found.append(
            Finding(
                "damaged",
                "warning",
                name,
                len(damaged),
                len(rows),
                Words(f"{zh}有 {len(damaged)} 条乱码", f"{name}: {len(damaged)} texts are garbled"),
                Words("模型会把乱码当成特征", "The model will take garbage for a feature"),
                Words("先用 --encoding 核对编码；" + _FIX.zh, "Check --encoding first; " + _FIX.en),
                examples(damaged),
            )
        )
    return found


def _exact(name: str, rows: Sequence[Row], findings: list[Finding]) -> int:
    first: dict[tuple[str, ...], Row] = {}
    copies = [row for row in rows if first.setdefault(copy_key(row), row) is not row]
    if copies:
        twins = [first[copy_key(row)] for row in copies]
        zh, share = _NAMES[name], f"{len(copies) / len(rows):.1%}"
        findings.append(
            Finding(
                "exact_duplicates",
                "warning",
                name,
                len(copies),
                len(rows),
                Words(
                    f"{zh}有 {len(copies)} 条与前面完全相同（{share}）",
                    f"{name}: {len(copies)} rows repeat an earlier one ({share})",
                ),
                Words("重复的行等于被学了多遍", "Repeated rows weigh several times"),
                _FIX,
                examples(copies, twins),
            )
        )
    return len(copies)


def _near(name: str, rows: Sequence[Row], threshold: float, findings: list[Finding]) -> int:
    """Rows beyond the first of their group, exact copies included."""
    groups = row_groups(rows, threshold=threshold)
    later = [(row, rows[first]) for index, (row, first) in enumerate(zip(rows, groups, strict=True)) if first != index]
    unlike = [(row, twin) for row, twin in later if copy_key(row) != copy_key(twin)]
    if unlike:
        findings.append(
            Finding(
                "near_duplicates",
                "info",
                name,
                len(later),
                len(rows),
                Words(
                    f"{_NAMES[name]}有 {len(later)} 条与前面近似（含完全相同的）",
                    f"{name}: {len(later)} rows nearly repeat an earlier one (exact copies included)",
                ),
                Words("多样性比行数看起来的少", "There is less variety than the row count suggests"),
                Words("自动划分会把近似的行放在同一边", "Automatic splitting keeps near-duplicates on one side"),
                examples([row for row, _ in unlike], [twin for _, twin in unlike]),
            )
        )
    return len(later)


def _leaks(splits: _Splits, threshold: float, findings: list[Finding]) -> tuple[dict[str, int], dict[str, int]]:
    exact: dict[str, int] = {}
    near: dict[str, int] = {}
    for held_out, seen in _PAIRS:
        if held_out in splits and seen in splits:
            key = f"{held_out}_in_{seen}"
            exact[key], near[key] = _leak(splits, held_out, seen, threshold, findings)
    return exact, near


def _leak(splits: _Splits, held_out: str, seen: str, threshold: float, findings: list[Finding]) -> tuple[int, int]:
    rows, others = splits[held_out], splits[seen]
    keys = {copy_key(row) for row in others}
    exact = sum(copy_key(row) in keys for row in rows)
    matches = row_matches(rows, others, threshold=threshold)
    leaked = [(row, others[match]) for row, match in zip(rows, matches, strict=True) if match is not None]
    if leaked:
        near, share = len(leaked), f"{len(leaked) / len(rows):.1%}"
        findings.append(
            Finding(
                f"leak_{held_out}_in_{seen}",
                "error",
                held_out,
                near,
                len(rows),
                Words(
                    f"{_NAMES[held_out]}有 {exact} 条原样出现在{_NAMES[seen]}里，连同近似的共 {near} 条（{share}）",
                    f"{held_out}: {exact} rows stand in {seen} as they are, {near} with near-duplicates ({share})",
                ),
                Words("分数会虚高：模型见过答案", "Scores come out too high: the answers have been seen"),
                Words(
                    _FIX.zh + "；报告会另给干净测试行的分数", _FIX.en + "; the report also scores the clean test rows"
                ),
                examples([row for row, _ in leaked], [twin for _, twin in leaked]),
            )
        )
    return exact, len(leaked)


def _torn(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each text that carries more than one label."""
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if not isinstance(row.target, References):
            alike[copy_key(row)].append(row)
    return [group for group in alike.values() if len({str(row.target) for row in group}) > 1]


def _conflicts(splits: _Splits, findings: list[Finding]) -> int:
    rows = list(chain.from_iterable(splits.values()))
    torn = _torn(rows)
    if torn:
        other = [next(row for row in group if row.target != group[0].target) for group in torn]
        findings.append(
            Finding(
                "label_conflicts",
                "warning",
                None,
                len(torn),
                len(rows),
                Words(f"{len(torn)} 条文本有互相矛盾的标签", f"{len(torn)} texts carry contradicting labels"),
                Words("模型学不会，评测也判不准", "They cannot be learnt, nor judged"),
                Words("人工看一遍再改；" + _FIX.zh + " 会去掉它们", "Look at them; " + _FIX.en + " drops them"),
                examples([group[0] for group in torn], other),
            )
        )
    return len(torn)


def _classes(splits: _Splits, findings: list[Finding]) -> dict[str, dict[str, int]]:
    """Rows by label in each split; empty for tasks whose targets are not labels."""
    if not all(isinstance(row.target, str) for rows in splits.values() for row in rows):
        return {}
    tables = {name: dict(sorted(Counter(row.target for row in rows).items())) for name, rows in splits.items()}
    everything = sorted(set(chain.from_iterable(tables.values())))
    for name, table in tables.items():
        if missing := [label for label in everything if label not in table]:
            findings.append(_missing_class(name, missing, len(everything)))
        if rare := [label for label in table if table[label] < 2]:
            findings.append(_rare_class(name, rare, len(everything)))
    findings += _imbalance(tables.get("train", {}))
    return tables


def _missing_class(name: str, missing: list[str], total: int) -> Finding:
    return Finding(
        "missing_class",
        "error" if name == "train" else "warning",
        name,
        len(missing),
        total,
        Words(f"{_NAMES[name]}里没有标签：{'、'.join(missing)}", f"{name} has no row labelled {', '.join(missing)}"),
        Words("学不到，或者评不到这些标签", "These labels cannot be learnt, or not be judged"),
        Words("补数据，或者不给 --dev/--test，让划分按标签来", "Add rows, or leave the splitting to us"),
    )


def _rare_class(name: str, rare: list[str], total: int) -> Finding:
    return Finding(
        "rare_class",
        "warning",
        name,
        len(rare),
        total,
        Words(f"{_NAMES[name]}里只有一行的标签：{'、'.join(rare)}", f"{name}: labels with one row: {', '.join(rare)}"),
        Words("一行学不出一类，也评不出一类", "One row neither teaches nor measures a class"),
        Words("补数据，或者并入别的标签", "Add rows, or merge the label into another"),
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


def _lengths(splits: _Splits, limit: int | None, findings: list[Finding]) -> dict[str, dict[str, float]]:
    """Characters: median, 90th percentile, longest, and the share over the limit."""
    tables: dict[str, dict[str, float]] = {}
    for name, rows in splits.items():
        sizes = np.array([len(row.text) for row in rows])
        over = [row for row in rows if limit is not None and len(row.text) > limit]
        tables[name] = {
            "median": float(np.median(sizes)),
            "p90": float(np.percentile(sizes, 90)),
            "longest": int(sizes.max()),
            "over": len(over),
            "share_over": len(over) / len(rows),
        }
        if over:
            findings.append(_too_long(name, over, len(rows), limit or 0))
    return tables


def _too_long(name: str, over: list[Row], total: int, limit: int) -> Finding:
    share = len(over) / total
    return Finding(
        "too_long",
        "warning" if share > 0.05 else "info",
        name,
        len(over),
        total,
        Words(
            f"{_NAMES[name]}有 {len(over)} 条超过 {limit} 字（{share:.1%}）",
            f"{name}: {len(over)} texts are over {limit} characters ({share:.1%})",
        ),
        Words("超出的部分会被截掉", "What is beyond gets cut off"),
        Words("把 --set base.max_length 调大，代价是慢", "Raise --set base.max_length, at the price of speed"),
        examples(over),
    )
