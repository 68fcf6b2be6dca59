"""`qingtiao compare`"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qingtiao.cli.options import (
    AsJson,
    Columns,
    Dev,
    Encoding,
    LabelColumn,
    Sample,
    Seed,
    TaskName,
    Test,
    TextColumn,
    columns_of,
    described,
)
from qingtiao.cli.output import print_json, scores_line, stdout
from qingtiao.cli.progress import follow
from qingtiao.cli.train import with_preset, without_none
from qingtiao.config import CompareConfig, DataConfig, assignments, merge, parse, read_yaml
from qingtiao.errors import ConfigError
from qingtiao.language import say

if TYPE_CHECKING:
    from qingtiao.workflows.compare import CompareResult


def compare(
    out: Annotated[str | None, typer.Option("--out", help=described(CompareConfig, "out"))] = None,
    data: Annotated[str | None, typer.Option("--data", help=described(DataConfig, "train"))] = None,
    dev: Dev = None,
    test: Test = None,
    task: TaskName = None,
    bases: Annotated[
        list[str] | None,
        typer.Option(
            "--base",
            metavar="[TASK=]BASE",
            help=say(
                "要比较的基座，可以给几次；label_scoring=基座 让这一个换个任务做",
                "a base to compare, any number of times; label_scoring=BASE gives this one another task",
            ),
            show_default=False,
        ),
    ] = None,
    sample: Sample = None,
    seed: Seed = None,
    clean: Annotated[bool, typer.Option("--clean", help=described(DataConfig, "clean"))] = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    columns: Columns = None,
    encoding: Encoding = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help=say("YAML：共用的设置，加上 entries", "YAML: the settings of all, and entries"),
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="a.b=c",
            help=say("改任何一项设置，对每一个都算", "change any setting, of all of them"),
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=say("全部重来", "begin all of them anew"))] = False,
    as_json: AsJson = False,
) -> None:
    """同样的数据，几种做法，哪种该用 | The same rows, several ways: which one to take."""
    flags: dict[str, Any] = {
        "out": out,
        "task": task,
        "data": {
            "train": data,
            "dev": dev,
            "test": test,
            "sample": sample,
            "clean": clean or None,
            "text_column": text_column,
            "label_column": label_column,
            "columns": columns_of(columns) or None,
            "encoding": encoding,
        },
        "train": {"seed": seed},
    }
    shared = merge(read_yaml(config) if config else {}, without_none(flags), assignments(settings or []))
    entries = {**_written(shared.pop("entries", None)), **_entries_of(bases or [], shared.get("task"))}
    if not entries:
        raise _nothing_to_compare()
    settled = _settled(shared, entries, quiet=as_json)

    from qingtiao.workflows.compare import compare as run

    again = ("再运行一次同样的命令（不加 --overwrite），会从停下的地方接着跑。",
             "Run the same command again, without --overwrite: it goes on from where it stopped.")  # fmt: skip
    result = follow(run(settled, overwrite=overwrite), out=settled.out, quiet=as_json, again=again)
    if as_json:
        print_json(result.comparison.as_json())
    else:
        _show(result)


def _settled(shared: dict[str, Any], entries: dict[str, Any], *, quiet: bool) -> CompareConfig:
    """Each entry laid over what all share, with the preset of its base below; its folder is `out/<name>`."""
    out = shared.get("out")
    runs = {
        name: with_preset(merge(shared, entry, {"out": f"{out}/{name}"}), wanted=None, quiet=quiet)
        for name, entry in entries.items()
    }
    return parse(CompareConfig, without_none({"out": out, "entries": runs}))


def _written(entries: Any) -> dict[str, Any]:
    """The entries of a YAML file; one with nothing to say for itself may be left empty.

    Raises:
        ConfigError: they are no names with settings.
    """
    found = {} if entries is None else entries
    if not isinstance(found, dict) or not all(isinstance(entry, dict | None) for entry in found.values()):
        raise ConfigError(
            f"entries 不是“名字: 设置”：{str(found)[:80]}",
            f"entries are not of the form name: settings: {str(found)[:80]}",
            todo_zh="照 examples/compare/reviews.yaml 的样子写。",
            todo_en="Write them as in examples/compare/reviews.yaml.",
        )
    return {str(name): entry or {} for name, entry in found.items()}


def _nothing_to_compare() -> ConfigError:
    return ConfigError(
        "没有说要比较什么",
        "There is nothing to compare",
        todo_zh="每个要比的基座给一个 --base，例如 --base mini-zh；或者在 --config 的 YAML 里写 entries。",
        todo_en="Give a --base for each base, for example --base mini-zh; or write entries in the YAML of --config.",
    )


def _entries_of(bases: Sequence[str], task: Any) -> dict[str, Any]:
    """`["mini-zh", "label_scoring=Qwen/Qwen3-0.6B"]` as entries, named after their bases and tasks."""
    from qingtiao.task import task_names

    entries: dict[str, Any] = {}
    for item in bases:
        own, equals, base = item.partition("=")
        if not equals or own not in task_names():
            own, base = "", item
        name = re.sub(r"[^\w.\-]+", "-", Path(base).name) + (f"-{own}" if own and own != task else "")
        unused = next(one for one in (name, *(f"{name}-{n}" for n in range(2, 99))) if one not in entries)
        entries[unused] = {"base": {"name": base}, **({"task": own} if own else {})}
    return entries


def _show(result: CompareResult) -> None:
    from qingtiao.evaluate.comparison import each
    from qingtiao.evaluate.elements import duration

    found = result.comparison
    measures = found.about["measures"]
    stdout.print()
    for one in found.contenders:
        stdout.print(escape(scores_line(say(*one.title), one.clean_test or one.test, measures)))
        costs = [
            say("训练 ", "training ") + duration(one.train_seconds),
            each(one.seconds_per_row) + say("/条", " a row"),
        ]
        if one.parameters is not None:
            costs.insert(1, f"{one.parameters / 1e6:.1f} M" + say(" 参数", " parameters"))
        stdout.print("  " + escape("  ".join(costs)))
    stdout.print(f"\n[bold]{escape(say(found.advice.zh, found.advice.en))}[/]\n")
    stdout.print(f"{say('报告', 'Report')}    {escape(str(result.report_html))}")
