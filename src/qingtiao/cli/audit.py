"""`qingtiao audit`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from qingtiao.cli.options import AsJson, Columns, Dev, Encoding, LabelColumn, TaskName, Test, TextColumn, columns_of
from qingtiao.cli.output import print_json, stderr, stdout
from qingtiao.config import DataConfig, parse
from qingtiao.language import say

_MARKS = {"info": "[green]·[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


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
        print_json({**report.as_json(), **({"fixed": fixed.as_json()} if fixed else {})})
        return
    for finding in report.as_json()["findings"]:
        stdout.print(f"{_MARKS[finding['severity']]} {escape(say(finding['what']['zh'], finding['what']['en']))}")
        if finding["severity"] != "info":
            stdout.print(f"    {escape(say(finding['effect']['zh'], finding['effect']['en']))}")
            stdout.print(f"    [bold]→[/] {escape(say(finding['fix']['zh'], finding['fix']['en']))}")
    if fixed:
        stdout.print(
            say(
                f"清洗后的文件在 {fixed.folder}，改动 {fixed.touched} 行，逐行记录在 {fixed.log}",
                f"Cleaned files are in {fixed.folder}; {fixed.touched} rows were touched, each listed in {fixed.log}",
            )
        )
