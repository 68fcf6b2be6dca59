"""`qingtiao bases`"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from qingtiao.cli.options import AsJson
from qingtiao.cli.output import print_json, stdout
from qingtiao.language import say
from qingtiao.models.preset import preset_names, read_preset


def bases(
    task: Annotated[
        str | None, typer.Option("--task", help=say("只看适合这个任务的", "those that suit this task"))
    ] = None,
    as_json: AsJson = False,
) -> None:
    """列出有预设的基座 | List the bases that have a preset."""
    known = [read_preset(name) for name in preset_names()]
    shown = sorted((p for p in known if task is None or task in p.tasks), key=lambda preset: preset.parameters)
    if as_json:
        print_json([{"name": preset.name, **preset.model_dump(mode="json")} for preset in shown])
        return
    width = max((len(preset.hub) for preset in shown), default=0)
    for preset in shown:
        title, licence = (
            say(preset.title.zh, preset.title.en),
            preset.licence or say("许可证未注明", "licence not stated"),
        )
        stdout.print(f"[bold]{escape(preset.hub.ljust(width))}[/]  {size(preset.parameters):>5}  {escape(licence)}")
        stdout.print(f"  {escape(title)} · {' '.join(preset.tasks)}")


def size(parameters: int) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"
