"""What the terminal is shown. Answers go to standard output; progress and errors to standard error."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from qingtiao.errors import QingtiaoError
from qingtiao.language import say


class _Answers(Console):
    def on_broken_pipe(self) -> None:
        """Rich would leave with exit code 1, as if something were wrong."""
        raise BrokenPipeError


stdout = _Answers(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def output_is_read() -> bool:
    """Whether anyone still holds the other end of standard output; False where that cannot be asked (Windows)."""
    if not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(sys.stdout.fileno(), 0)  # its errors are told without being asked for
    return not poller.poll(0)


def drop_output() -> None:
    """What was not yet written to standard output is let go, and what follows too: there is no one who reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(error: QingtiaoError, *, as_json: bool) -> None:
    try:
        if as_json:
            print_json({"error": {"kind": type(error).__name__, "what": error.what, "todo": error.todo}})
        sys.stdout.flush()
    except OSError:  # a full disk, or a reader that left
        drop_output()
    stderr.print(f"[bold red]{say('错误', 'Error')}[/]  {escape(error.what)}")
    stderr.print(f"[bold]→[/] {escape(error.todo)}")


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def scores_line(name: str, block: Mapping[str, Any], measures: Mapping[str, Mapping[str, Any]]) -> str:
    """One line of a table of scores, as text: every score that has an interval, and the number of rows.

    `measures` is how a report names them; a score that it does not hold is a share and goes by its own name.
    """
    parts = [name]
    for score in (one.removesuffix("_ci") for one in block if one.endswith("_ci")):
        about = measures.get(score, {"zh": score, "en": score, "share": True})
        value, *ends = (
            percent(number) if about["share"] else f"{number:.3f}" for number in (block[score], *block[f"{score}_ci"])
        )
        parts.append(f"{say(about['zh'], about['en'])} {value} [{', '.join(ends)}]")
    return "  ".join([*parts, f"n={block['n']}"])
