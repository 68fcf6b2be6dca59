"""`qingtiao train`"""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qingtiao.cli.launched import assists, one_of_several
from qingtiao.cli.options import (
    AsJson,
    Base,
    Columns,
    Dev,
    Encoding,
    LabelColumn,
    Method,
    Quantized,
    Sample,
    Seed,
    TaskName,
    Test,
    TextColumn,
    columns_of,
    described,
)
from qingtiao.cli.output import print_json, scores_line, stderr, stdout
from qingtiao.cli.progress import follow
from qingtiao.config import DataConfig, RunConfig, assignments, merge, parse, read_yaml
from qingtiao.errors import ConfigError
from qingtiao.events import Started
from qingtiao.language import say
from qingtiao.models.preset import in_force, lay_under, preset_of_run

if TYPE_CHECKING:
    from qingtiao.workflows.train import TrainResult


_LONGEST_QUESTION = 100
_LAUNCH_AGAIN = ("接着跑：原来的命令加 --resume", "To go on: the same command with --resume")


def train(
    out: Annotated[str | None, typer.Option("--out", help=described(RunConfig, "out"))] = None,
    data: Annotated[str | None, typer.Option("--data", help=described(DataConfig, "train"))] = None,
    dev: Dev = None,
    test: Test = None,
    task: TaskName = None,
    base: Base = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help=say("按哪个基座的预设；基座是本地目录时用", "settings of which well-known base, for one in a folder"),
        ),
    ] = None,
    method: Method = None,
    quantize: Quantized = None,
    sample: Sample = None,
    seed: Seed = None,
    clean: Annotated[bool, typer.Option("--clean", help=described(DataConfig, "clean"))] = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    columns: Columns = None,
    encoding: Encoding = None,
    config: Annotated[
        Path | None, typer.Option("--config", help=say("YAML 配置；命令行优先", "a YAML config; flags win over it"))
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="a.b=c",
            help=say("改任何一项设置；method.r=4 是方法的选项", "change any setting; method.r=4 is one of the method"),
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help=say("接着上次没跑完的", "go on with an unfinished run"))
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help=say("清掉 --out 里已有的训练", "replace the run that is in --out"))
    ] = False,
    as_json: AsJson = False,
) -> None:
    """体检、训练、评测、保存并核对 | Audit, train, evaluate, save and prove."""
    if assists():
        help_out()
        return
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
        "base": {"name": base, "quantize": quantize},
        "adapter": {"method": method},
        "train": {"seed": seed},
    }
    values = merge(_written(config) if config else {}, without_none(flags), assignments(settings or []))
    from qingtiao.workflows.folder import stored_config
    from qingtiao.workflows.train import train as run

    if resume and data is None and config is None and out is not None:
        values = merge(stored_config(Path(out)).model_dump(), values)
    settled = parse(RunConfig, with_preset(values, wanted=preset, quiet=as_json))
    again = _LAUNCH_AGAIN if one_of_several() else None
    result = follow(run(settled, resume=resume, overwrite=overwrite), out=settled.out, quiet=as_json, again=again)
    if as_json:
        print_json(result.report.as_json())
    else:
        show_result(result)


def _written(config: Path) -> dict[str, Any]:
    values = read_yaml(config)
    if "entries" in values:
        raise ConfigError(
            f"{config} 写的是几次训练的比较（有 entries）",
            f"{config} describes a comparison of several runs (it has entries)",
            todo_zh=f"用 qingtiao compare --config {config}。",
            todo_en=f"Use qingtiao compare --config {config}.",
        )
    return values


def help_out() -> None:
    """As one of several processes, and not the first, which tells everything and decides when to stop."""
    from qingtiao.workflows.train import assist

    for event in assist():
        if isinstance(event, Started):
            # A launcher hands Ctrl-C to every process; the first one ends its step, saves, and lets us go.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def with_preset(values: dict[str, Any], *, wanted: str | None, quiet: bool) -> dict[str, Any]:
    """The values with the preset of their base below them, and a line that says so unless `quiet`."""
    preset = preset_of_run(values, wanted=wanted)
    if preset is None:
        return values
    merged = lay_under(preset, values)
    if not quiet:
        settings = " ".join(f"{path}={value}" for path, value in in_force(preset, merged).items())
        stderr.print(
            escape(say(f"用 {preset.name} 的预设：{settings}", f"With the preset of {preset.name}: {settings}"))
        )
    return merged


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Flags that were not given say nothing."""
    kept = {key: without_none(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value is not None}


def show_result(result: TrainResult) -> None:
    from qingtiao.evaluate.elements import SYSTEMS

    report = result.report.as_json()
    verdict = report["verdict"]
    stdout.print()
    stdout.print(f"[bold]{escape(say(verdict['zh'], verdict['en']))}[/]")
    measures = report.get("measures", {})
    for part, title in (
        ("test", say("全部测试行", "all test rows")),
        ("clean_test", say("干净测试行", "clean test rows")),
    ):
        if report[part] is None:
            continue
        stdout.print(f"\n{title}")
        stdout.print("  " + scores_line(say(*SYSTEMS["adapter"]), report[part], measures))
        for name, scores in report["baselines"].items():
            stdout.print("  " + scores_line(say(*SYSTEMS.get(name, (name, name))), scores[part], measures))
    stdout.print()
    stdout.print(f"{say('适配器', 'Bundle')}  {escape(str(result.bundle))}")
    stdout.print(f"{say('报告', 'Report')}    {escape(str(result.report_html))}")
    stdout.print(f"{say('试一试', 'Try it')}    {escape(first_question(result.bundle))}")


def first_question(bundle: Path) -> str:
    """A command that asks the bundle the first built-in sample of its task; the page where no line could hold it."""
    from qingtiao.bundle import read_manifest
    from qingtiao.task import find_task

    kind = find_task(read_manifest(bundle).task)
    asked = {name: kind.samples[0][name] for name in kind.Input.model_fields if name in kind.samples[0]}
    question = json.dumps(asked, ensure_ascii=False) if len(asked) > 1 else str(*asked.values())
    if len(question) > _LONGEST_QUESTION:
        return shlex.join(["qingtiao", "app", str(bundle)])
    return shlex.join(["qingtiao", "predict", str(bundle), question])
