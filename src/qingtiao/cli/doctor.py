"""`qingtiao doctor`"""

from __future__ import annotations

from rich.markup import escape

from qingtiao.cli.options import AsJson
from qingtiao.cli.output import print_json, stderr, stdout
from qingtiao.language import say


def doctor(as_json: AsJson = False) -> None:
    """看看这台机器有什么、缺什么 | What this machine has and lacks."""
    from qingtiao.workflows.doctor import examine

    with stderr.status(say("检查中……", "Examining…")):
        facts = examine()
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            stdout.print(f"[bold]{name}[/]")
            for inner, fact in value.items():
                stdout.print(f"  {inner}: {escape(str(fact))}")
        else:
            stdout.print(f"[bold]{name}[/]  {escape(str(value))}")
