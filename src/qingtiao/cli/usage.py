"""A command line that cannot be understood, told like every other mistake."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from qingtiao.config import did_you_mean, nearest, suggestion
from qingtiao.errors import UserError


class WrongUsage(UserError):
    """An unknown command or option, or one without its value."""


def unknown_command(name: str, verbs: Collection[str]) -> WrongUsage:
    zh, en = suggestion(name, list(verbs))
    return WrongUsage(
        f"没有 {name} 这个命令{zh}",
        f"There is no command {name}{en}",
        todo_zh=f"命令有：{'、'.join(verbs)}。",
        todo_en=f"The commands are {', '.join(verbs)}.",
    )


def wrong_usage(error: Any) -> WrongUsage:
    """What typer's parser found wrong: `error` is one of its exceptions, known by their `format_message`."""
    command = error.ctx.command_path if error.ctx else "qingtiao"
    zh, en = _in_words(error)
    return WrongUsage(zh, en, todo_zh=f"用法见 {command} --help。", todo_en=f"See {command} --help.")


def _in_words(error: Any) -> tuple[str, str]:
    params = error.ctx.command.params if error.ctx else []
    match type(error).__name__:
        case "NoSuchOption":
            name = error.option_name
            known = {option.lstrip("-"): option for param in params for option in param.opts if option.startswith("--")}
            near = nearest(name.lstrip("-"), known)
            zh, en = did_you_mean(known[near]) if near else ("", "")
            return f"没有 {name} 这个选项{zh}", f"There is no option {name}{en}"
        case "MissingParameter" if error.param:
            name = _written(error.param)
            return f"缺少 {name}", f"{name} is missing"
        case "BadParameter" if error.param:
            name = _written(error.param)
            return f"{name} 的值不可用：{error.message}", f"The value of {name} cannot be used: {error.message}"
    return f"命令写得不对：{error.format_message()}", f"The command is wrong: {error.format_message()}"


def _written(param: Any) -> str:
    """An option as it is given, or the name of an argument."""
    options = [name for name in param.opts if name.startswith("-")]
    return " / ".join(options) or str(param.metavar or param.name).strip("{}[]")
