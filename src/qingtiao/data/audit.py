"""What is wrong with a data set, counted and said in words. Nothing is changed; `data.clean` does that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType

import numpy as np

from qingtiao.data.damage import is_damaged
from qingtiao.data.duplicates import copy_key, row_groups, row_matches
from qingtiao.data.findings import SPLIT_NAMES, AuditReport, Finding, Splits, Where, Words
from qingtiao.data.given import Given
from qingtiao.data.label_findings import audit_labels
from qingtiao.errors import DataError
from qingtiao.types import Dataset, References, Row

__all__ = ["AuditReport", "Finding", "audit"]

_PAIRS = (("test", "train"), ("dev", "train"), ("test", "dev"))
_FIX = Words("运行 qingtiao audit … --fix 目录", "Run qingtiao audit ... --fix FOLDER")


def audit(
    dataset: Dataset,
    *,
    max_length: int | None,
    threshold: float,
    given: Mapping[str, Given] = MappingProxyType({}),
    renames: bool = False,
    refused: DataError | None = None,
) -> AuditReport:
    """Look for empty and damaged texts, duplicates, leaks between splits, contradicting labels, rare or missing
    classes, imbalance and texts over `max_length` characters (a Chinese character is about one token).

    Exact duplicates are equal after stripping whitespace at the ends; near ones have a 5-gram Jaccard of `threshold`.

    Args:
        given: what each split was read from, where that is known.
        renames: whether the task can give labels other names.
        refused: why nothing can be trained on these rows, if that was tried.
    """
    splits = dataset.splits()
    counts: dict[str, object] = {
        "rows": {name: len(rows) for name, rows in splits.items()},
        "read": {name: one.as_json() for name, one in given.items()},
    }
    findings = [_overlooked(one) for one in {one.source: one for one in given.values() if one.overlooked}.values()]
    findings += [_refused(refused, len(dataset.train))] if refused else []
    for name, rows in splits.items():
        findings += _faulty(name, rows)
    counts["exact_duplicates"] = {name: _exact(name, rows, findings) for name, rows in splits.items()}
    counts["near_duplicates"] = {name: _near(name, rows, threshold, findings) for name, rows in splits.items()}
    counts["leaks"], counts["near_leaks"] = _leaks(splits, threshold, findings)
    by_split = {name: len(_torn(rows)) for name, rows in splits.items()}
    # The headline figure is about the rows that are learnt; a text torn between splits is a leak as well.
    counts["label_conflicts"] = by_split.get("train", 0)
    counts["label_conflicts_by_split"] = {**by_split, "all": _conflicts(splits, findings)}
    counts["labels"] = audit_labels(splits, findings, renames=renames)
    counts["lengths"] = _lengths(splits, max_length, findings)
    order = {"error": 0, "warning": 1, "info": 2}
    return AuditReport(tuple(sorted(findings, key=lambda finding: order[finding.severity])), counts)


def _overlooked(given: Given) -> Finding:
    sheet, unread = given.facts.sheet, given.overlooked
    return Finding(
        "unread_sheets",
        "warning",
        None,
        len(unread),
        len(unread) + 1,
        Words(
            f"{given.source} 只读了表 {sheet}，没有读：{'、'.join(unread)}",
            f"Of {given.source} the sheet {sheet} was read, and these were not: {', '.join(unread)}",
        ),
        Words("没读的表里的行不起任何作用", "Rows of the other sheets have no effect"),
        Words(
            f"换一张表：写 {given.source}#{unread[0]}；几张都要：先合到一张表里",
            f"For another sheet write {given.source}#{unread[0]}; to use several, put them into one",
        ),
    )


def _refused(why: DataError, rows: int) -> Finding:
    return Finding(
        "untrainable",
        "error",
        "train",
        rows,
        rows,
        Words(why.zh, why.en),
        Words("train 会拒绝这份数据", "train will refuse these data"),
        Words(why.todo_zh, why.todo_en),
    )


def _faulty(name: str, rows: Sequence[Row]) -> list[Finding]:
    empty = [row for row in rows if not row.text.strip()]
    damaged = [row for row in rows if is_damaged(row.text)]
    zh, found = SPLIT_NAMES[name], []
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
                Where(empty),
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
                Where(damaged),
            )
        )
    return found


def _exact(name: str, rows: Sequence[Row], findings: list[Finding]) -> int:
    first: dict[tuple[str, ...], Row] = {}
    copies = [row for row in rows if first.setdefault(copy_key(row), row) is not row]
    if copies:
        twins = [first[copy_key(row)] for row in copies]
        zh, share = SPLIT_NAMES[name], f"{len(copies) / len(rows):.1%}"
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
                Where(copies, twins),
            )
        )
    return len(copies)


def _near(name: str, rows: Sequence[Row], threshold: float, findings: list[Finding]) -> int:
    """Rows beyond the first of their group, exact copies included."""
    groups = row_groups(rows, threshold=threshold)
    later = [(row, rows[first]) for index, (row, first) in enumerate(zip(rows, groups, strict=True)) if first != index]
    unlike = [(row, twin) for row, twin in later if copy_key(row) != copy_key(twin)]
    if unlike:
        shown = unlike + [(row, twin) for row, twin in later if copy_key(row) == copy_key(twin)]
        findings.append(
            Finding(
                "near_duplicates",
                "info",
                name,
                len(later),
                len(rows),
                Words(
                    f"{SPLIT_NAMES[name]}有 {len(later)} 条与前面近似（含完全相同的）",
                    f"{name}: {len(later)} rows nearly repeat an earlier one (exact copies included)",
                ),
                Words("多样性比行数看起来的少", "There is less variety than the row count suggests"),
                Words("自动划分会把近似的行放在同一边", "Automatic splitting keeps near-duplicates on one side"),
                Where([row for row, _ in shown], [twin for _, twin in shown]),
            )
        )
    return len(later)


def _leaks(splits: Splits, threshold: float, findings: list[Finding]) -> tuple[dict[str, int], dict[str, int]]:
    exact: dict[str, int] = {}
    near: dict[str, int] = {}
    for held_out, seen in _PAIRS:
        if held_out in splits and seen in splits:
            key = f"{held_out}_in_{seen}"
            exact[key], near[key] = _leak(splits, held_out, seen, threshold, findings)
    return exact, near


def _leak(splits: Splits, held_out: str, seen: str, threshold: float, findings: list[Finding]) -> tuple[int, int]:
    rows, others = splits[held_out], splits[seen]
    keys = {copy_key(row) for row in others}
    exact = sum(copy_key(row) in keys for row in rows)
    matches = row_matches(rows, others, threshold=threshold)
    leaked = [(row, others[match]) for row, match in zip(rows, matches, strict=True) if match is not None]
    if leaked:
        near, share = len(leaked), f"{len(leaked) / len(rows):.1%}"
        zh, zh_seen = SPLIT_NAMES[held_out], SPLIT_NAMES[seen]
        findings.append(
            Finding(
                f"leak_{held_out}_in_{seen}",
                "error",
                held_out,
                near,
                len(rows),
                Words(
                    f"{zh}有 {exact} 条原样出现在{zh_seen}里，连同近似的共 {near} 条（{share}）",
                    f"{held_out}: {exact} rows stand in {seen} as they are, {near} with near-duplicates ({share})",
                ),
                Words("分数会虚高：模型见过答案", "Scores come out too high: the answers have been seen"),
                Words(
                    _FIX.zh + "；报告会另给干净测试行的分数", _FIX.en + "; the report also scores the clean test rows"
                ),
                Where([row for row, _ in leaked], [twin for _, twin in leaked]),
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


def _conflicts(splits: Splits, findings: list[Finding]) -> int:
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
                Where([group[0] for group in torn], other),
            )
        )
    return len(torn)


def _lengths(splits: Splits, limit: int | None, findings: list[Finding]) -> dict[str, dict[str, float]]:
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
            f"{SPLIT_NAMES[name]}有 {len(over)} 条超过 {limit} 字（{share:.1%}）",
            f"{name}: {len(over)} texts are over {limit} characters ({share:.1%})",
        ),
        Words("超出的部分会被截掉", "What is beyond gets cut off"),
        Words("把 --set base.max_length 调大，代价是慢", "Raise --set base.max_length, at the price of speed"),
        Where(over),
    )
