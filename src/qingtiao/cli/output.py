"""What the terminal is shown. Answers go to standard output; progress and errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from qingtiao.errors import QingtiaoError
from qingtiao.language import say

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def print_error(error: QingtiaoError, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"kind": type(error).__name__, "what": error.what, "todo": error.todo}})
    stderr.print(f"[bold red]{say('错误', 'Error')}[/]  {escape(error.what)}")
    stderr.print(f"[bold]→[/] {escape(error.todo)}")


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def scores_line(name: str, block: Mapping[str, Any]) -> str:
    """One line of a table of scores, as text: every score that has an interval, and the number of rows."""
    scores = [score.removesuffix("_ci") for score in block if score.endswith("_ci")]
    shown = [f"{score} {_shown(block[score])} [{', '.join(map(_shown, block[f'{score}_ci']))}]" for score in scores]
    return "  ".join([name, *shown, f"n={block['n']}"])


def _shown(value: float) -> str:
    """In percent where the value may be a share."""
    return percent(value) if -1 <= value <= 1 else f"{value:.3f}"
