"""`qingtiao audit`"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from qingtiao.cli.findings import explained, looked_at
from qingtiao.cli.options import AsJson, Columns, Dev, Encoding, LabelColumn, TaskName, Test, TextColumn, columns_of
from qingtiao.cli.output import print_json, stderr, stdout
from qingtiao.config import DataConfig, parse
from qingtiao.language import say

_MOST_PLACES = 3


def audit(
    train: Annotated[str, typer.Argument(help=say("训练数据", "training data"), metavar="TRAIN")],
    dev: Dev = None,
    test: Test = None,
    fix: Annotated[
        Path | None,
        typer.Option("--fix", help=say("把清洗后的文件写到这个目录", "write cleaned files into this folder")),
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    columns: Columns = None,
    task: TaskName = None,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """给数据体检：重复、泄漏、矛盾、乱码、失衡 | Find duplicates, leaks, contradictions and damage."""
    from qingtiao.workflows.audit import audit as run
    from qingtiao.workflows.audit import fix as write_fixed

    data = parse(
        DataConfig,
        {
            "train": train,
            "dev": dev,
            "test": test,
            "text_column": text_column,
            "label_column": label_column,
            "columns": columns_of(columns),
            "encoding": encoding,
        },
    )
    with stderr.status(say("体检中……", "Auditing…")):
        named = {"task": task} if task else {}
        report = run(data, **named)
        fixed = write_fixed(data, fix, **named) if fix else None
    if as_json:
        print_json({**report.as_json(every_place=True), **({"fixed": fixed.as_json()} if fixed else {})})
        return
    show(report.as_json())
    if fixed:
        stdout.print(
            say(
                f"清洗后的文件在 {fixed.folder}，改动 {fixed.touched} 行，逐行记录在 {fixed.log}",
                f"Cleaned files are in {fixed.folder}; {fixed.touched} rows were touched, each listed in {fixed.log}",
            )
        )


def show(report: Mapping[str, Any]) -> None:
    """What was looked at, then what was found."""
    for line in looked_at(report):
        stdout.print(line)
    findings = report["findings"]
    for line in chain.from_iterable(explained(finding, most=_MOST_PLACES) for finding in findings):
        stdout.print(line)
    if not findings:
        stdout.print(say("[green]没有发现问题[/]", "[green]No problems found[/]"))
    elif any(finding["examples"] and finding["count"] > _MOST_PLACES for finding in findings):
        stdout.print(say("每一处都在 --json 的 places 里", "All places are under places in --json"))
