"""The `qingtiao` command: its verbs, and how every error leaves it."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from qingtiao.cli import app as app_verb
from qingtiao.cli import audit, bases, chat, compare, demo, doctor, evaluate, merge, predict, serve, train
from qingtiao.cli.launched import refuse_several
from qingtiao.cli.output import print_error
from qingtiao.errors import Interrupted, QingtiaoError
from qingtiao.language import say

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
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, function in VERBS.items():
        cli.command(name)(function)
    return cli


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code: 0 done, 2 the user's mistake, 3 the machine's lack, 1 ours."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    _speak_utf8()
    # PEFT imports bitsandbytes wherever it is installed, which then warns of a kernel that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        refuse_several(next(iter(arguments), ""))
        build()(args=arguments)
    except KeyboardInterrupt:
        sys.exit(_leave(_interrupted(), as_json=as_json))
    except QingtiaoError as error:
        sys.exit(_leave(error, as_json=as_json))
    except MemoryError:
        sys.exit(_leave(_out_of_memory(), as_json=as_json))
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: nothing is wrong, and nothing can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last net: a fault of ours still ends in one clear message
        if os.environ.get("QINGTIAO_DEBUG"):
            traceback.print_exc()
        sys.exit(_leave(_unexpected(error), as_json=as_json))


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
    where: Any = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"  # noqa: PTH119
    return QingtiaoError(
        f"轻调自己出了错：{reason}",
        f"A fault of Qingtiao's own: {reason}",
        todo_zh="设 QINGTIAO_DEBUG=1 再运行一次，把完整输出报告给我们。",
        todo_en="Run again with QINGTIAO_DEBUG=1 and report the whole output.",
    )
