"""The `qingtiao` command: its verbs, and how every error leaves it."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from qingtiao.cli import app as app_verb
from qingtiao.cli import audit, bases, chat, compare, demo, doctor, evaluate, merge, predict, serve, train
from qingtiao.cli.launched import refuse_several
from qingtiao.cli.output import drop_output, output_is_read, print_error, stdout
from qingtiao.cli.usage import WrongUsage, unknown_command, wrong_usage
from qingtiao.cli.utf8 import insist_on_utf8
from qingtiao.errors import Interrupted, QingtiaoError
from qingtiao.files import disk_full, is_full
from qingtiao.language import say
from qingtiao.version import __version__

VERBS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "audit": audit.audit,
    "train": train.train,
    "compare": compare.compare,
    "evaluate": evaluate.evaluate,
    "predict": predict.predict,
    "chat": chat.chat,
    "serve": serve.serve,
    "app": app_verb.app,
    "merge": merge.merge,
    "bases": bases.bases,
    "doctor": doctor.doctor,
}


def build() -> typer.Typer:
    cli = typer.Typer(
        name="qingtiao",
        help=say(
            "轻调：从一份中文评论到一个可信的 LoRA 适配器。",
            "From raw Chinese comments to a LoRA adapter you can trust.",
        ),
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback()(_version)
    for name, function in VERBS.items():
        cli.command(name)(_outspoken(function))
    return cli


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(__version__)
        raise typer.Exit


def _version(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help=say("只打印版本", "print the version")),
    ] = False,
) -> None:
    """Before any command; its help is that of the program."""


class _ReaderGone(Exception):
    """Whoever read our output (head, less) has left: nothing is wrong, and nothing can be said to it."""


def _outspoken(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb`, ended only when all it said is out; and the two things that typer would answer with exit codes of its
    own, a reader that left and Ctrl-C, are told apart before it sees them."""

    @functools.wraps(verb)
    def said(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
            sys.stdout.flush()
        except BrokenPipeError as error:
            if output_is_read():
                raise RuntimeError("another process ended early") from error  # typer would leave without a word
            raise _ReaderGone from None
        except KeyboardInterrupt:
            raise _interrupted() from None

    return said


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code: 0 done, 2 the user's mistake, 3 the machine's lack, 1 ours."""
    if arguments is None:
        insist_on_utf8()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    _speak_utf8()
    # PEFT imports bitsandbytes wherever it is installed, which then warns of a kernel that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        refuse_several(next(iter(arguments), ""))
        sys.exit(_run(arguments))
    except _ReaderGone:
        drop_output()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(_leave(_interrupted(), as_json=as_json))
    except QingtiaoError as error:
        sys.exit(_leave(error, as_json=as_json))
    except MemoryError:
        sys.exit(_leave(_out_of_memory(), as_json=as_json))
    except Exception as error:  # noqa: BLE001 - the last net: a fault of ours still ends in one clear message
        if os.environ.get("QINGTIAO_DEBUG"):
            traceback.print_exc()
        sys.exit(_leave(_unexpected(error), as_json=as_json))


def _run(arguments: Sequence[str]) -> int:
    """The exit code of what was asked for; nothing asked for is answered with the help."""
    command = next(iter(arguments), "--help")
    if not command.startswith("-") and command not in VERBS:
        raise unknown_command(command, VERBS)
    try:
        code = build()(args=arguments or ["--help"], standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise wrong_usage(error) from None
    return code or (0 if arguments else WrongUsage.exit_code)


def _speak_utf8() -> None:
    """Files and pipes get UTF-8; a console keeps its own encoding, and what it cannot show becomes an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _leave(error: QingtiaoError, *, as_json: bool) -> int:
    print_error(error, as_json=as_json)
    return error.exit_code


def _interrupted() -> Interrupted:
    return Interrupted("已停止", "Stopped", todo_zh="再运行一次同样的命令即可。", todo_en="Run the same command again.")


def _out_of_memory() -> QingtiaoError:
    from qingtiao.errors import EnvironmentLack

    return EnvironmentLack(
        "内存不够",
        "There is not enough memory",
        todo_zh="调小 --set train.batch_size 或 --set base.max_length，或者用 --sample 少取一些行。",
        todo_en="Lower --set train.batch_size or --set base.max_length, or take fewer rows with --sample.",
    )


def _unexpected(error: Exception) -> QingtiaoError:
    if isinstance(error, OSError) and is_full(error):  # of what we say: where files are written it is seen
        return disk_full(Path(sys.stdout.name))
    where: Any = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"  # noqa: PTH119
    return QingtiaoError(
        f"轻调自己出了错：{reason}",
        f"A fault of Qingtiao's own: {reason}",
        todo_zh="设 QINGTIAO_DEBUG=1 再运行一次，把完整输出报告给我们。",
        todo_en="Run again with QINGTIAO_DEBUG=1 and report the whole output.",
    )
