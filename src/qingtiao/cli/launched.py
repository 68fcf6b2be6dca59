"""What torchrun and accelerate launch say in the environment of each process that they start."""

from __future__ import annotations

import os

from qingtiao.errors import UserError


def one_of_several() -> bool:
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def assists() -> bool:
    """Whether this process is one of several, and not the first."""
    return one_of_several() and int(os.environ["RANK"]) > 0


def refuse_several(verb: str) -> None:
    """
    Raises:
        UserError: this is one of several processes, and `verb` is one that trains run after run.
    """
    if one_of_several() and verb in ("demo", "compare"):
        raise UserError(
            f"qingtiao {verb} 不能用多个进程启动",
            f"`qingtiao {verb}` cannot be started in several processes",
            todo_zh="直接运行，不经过 torchrun 或 accelerate launch；能这样启动的是 train。",
            todo_en="Run it without torchrun or accelerate launch; it is `train` that can be started so.",
        )
