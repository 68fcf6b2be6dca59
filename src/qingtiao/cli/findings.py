"""What an audit found and what it looked at, as lines for the terminal, out of the report's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape

from qingtiao.language import say

_MARKS = {"info": "[green]·[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}
_SPLITS = {"train": ("训练集", "train"), "dev": ("验证集", "dev"), "test": ("测试集", "test")}
_SAME_TEXT = ("exact_duplicates", "label_conflicts")
_MOST_LABELS = 10


def headline(finding: Mapping[str, Any]) -> str:
    return f"{_MARKS[finding['severity']]} {escape(say(finding['what']['zh'], finding['what']['en']))}"


def places(finding: Mapping[str, Any], *, most: int) -> str:
    """The first rows of a finding as `file:row`, each with the row it collides with; empty where it has none."""
    equals = " = " if finding["code"] in _SAME_TEXT else " ≈ "
    shown = [
        f"{one['source']}:{one['row']}" + (f"{equals}{one['twin']}" if one["twin"] else "")
        for one in finding["examples"][:most]
    ]
    if not shown:
        return ""
    count = finding["count"]
    rest = say(f" 等 {count} 处", f" … {count} in all") if count > len(shown) else ""
    return escape(say("、", ", ").join(shown) + rest)


def explained(finding: Mapping[str, Any], *, most: int) -> Iterator[str]:
    """The headline of a finding, where its rows are, and unless it is just for information what it does and needs."""
    yield headline(finding)
    if where := places(finding, most=most):
        yield f"    {where}"
    if finding["severity"] != "info":
        yield f"    {escape(say(finding['effect']['zh'], finding['effect']['en']))}"
        yield f"    [bold]→[/] {escape(say(finding['fix']['zh'], finding['fix']['en']))}"


def looked_at(report: Mapping[str, Any]) -> Iterator[str]:
    """For each split its rows, its source, the columns taken (once, if all have the same) and its labels, counted."""
    told = ""
    for name, rows in report["rows"].items():
        read = report["read"][name]
        yield f"[bold]{say(*_SPLITS[name])}[/]  {say(f'{rows:,} 行', f'{rows:,} rows')}  {escape(_origin(read))}"
        if (columns := columns_taken(report, name)) != told:
            told = columns
            yield f"    {escape(columns)}"
        if labels := report["labels"].get(name):
            yield f"    {escape(_labels(labels))}"


def columns_taken(report: Mapping[str, Any], split: str) -> str:
    """Which columns were taken for what; empty where that cannot be told."""
    columns = report["read"][split]["columns"]
    if not columns["text"]:
        return ""
    label = ("label", "标签列", "label column") if report["labels"] else ("label", "另外用到", "also used")
    named = (("text", "文本列", "text column"), label, ("unused", "没有用到", "not used"))
    parts = [f"{say(zh, en)} {say('、', ', ').join(columns[role])}" for role, zh, en in named if columns[role]]
    return say("；", "; ").join(parts)


def _origin(read: Mapping[str, Any]) -> str:
    named = read["source"].endswith(f"#{read['sheet']}")
    sheet = None if named or not read["sheet"] else say(f"表 {read['sheet']}", f"sheet {read['sheet']}")
    return say("，", ", ").join(part for part in (read["source"], sheet, read["encoding"]) if part)


def _labels(counts: Mapping[str, int]) -> str:
    by_count = sorted(counts.items(), key=lambda item: -item[1])
    shown = say("、", ", ").join(f"{label} {count}" for label, count in by_count[:_MOST_LABELS])
    more = say("……", " …") if len(counts) > _MOST_LABELS else ""
    return say(f"{len(counts)} 种标签：{shown}{more}", f"{len(counts)} labels: {shown}{more}")
