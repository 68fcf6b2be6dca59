"""One run in several processes, as `torchrun` and `accelerate launch` start them: one for each graphics card.

The first process does what it would do alone: it holds the folder, tells of the run, judges and saves. The others take
what it hands them, do their share of each step, and leave when it lets them go.
"""

from __future__ import annotations

import os
from typing import TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce

from qingtiao.errors import EnvironmentLack
from qingtiao.models.device import pick_device

Value = TypeVar("Value")


class Dismissed(Exception):
    """The first process needs the others no longer."""


class Group:
    """The processes that train together, this one among them; one, where no launcher started it.

    Joining takes this process's graphics card, so it comes before anything is put on one.

    Raises:
        EnvironmentLack: there are more processes than cards, the card is of a kind that cannot join others, or the
            environment speaks of others and does not say which one this is.
    """

    def __init__(self) -> None:
        device, here = pick_device(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if device.type == "cpu" and "LOCAL_RANK" not in os.environ:
            _refuse_stray_counts()
        if device.type == "cuda" and here > torch.cuda.device_count():
            raise _too_many(here, torch.cuda.device_count())
        self.state = PartialState(cpu=device.type == "cpu")
        if here > 1 and self.state.num_processes == 1:
            raise _too_many(here, 1)
        self.size: int = self.state.num_processes
        self.index: int = self.state.process_index
        self.leads = self.index == 0

    @property
    def apart(self) -> bool:
        """Whether there is no one to share with: from the start, or since the processes parted."""
        return not (torch.distributed.is_available() and torch.distributed.is_initialized())

    def share(self, value: Value) -> Value:
        """What the first process gives here, in all of them; the others wait for it.

        Raises:
            Dismissed: in the others, once the first process goes on alone.
        """
        if self.apart:
            return value
        try:
            dismissed, value = broadcast_object_list([False, value])
        except RuntimeError:  # of the backends, when the first process is gone: it has told why
            if self.leads:
                raise
            raise Dismissed from None
        if dismissed:
            self.state.destroy_process_group()
            raise Dismissed
        return value

    def agree(self, step: int) -> None:
        """
        Raises:
            EnvironmentLack: this process has read another progress than the first one.
        """
        if self.share(step) != step:
            raise EnvironmentLack(
                "各个进程读到的进度不一样：它们看到的不是同一个输出目录",
                "The processes do not read the same progress: they see different output folders",
                todo_zh="让每台机器上的 --out 指向同一个共享目录。",
                todo_en="Let --out be one shared folder on all machines.",
            )

    def reseed(self, seed: int, step: int) -> None:
        """Before each step of several processes: every one gets dropout of its own, and a resumed one gets it again.

        The random states themselves part ways with the rows that each has seen; only the first one's are saved.
        """
        if self.size > 1:
            torch.manual_seed(int(np.random.SeedSequence([seed, step, self.index]).generate_state(1)[0]))

    def mean(self, value: float) -> float:
        """Of what all processes give here."""
        if self.size == 1:
            return value
        return float(reduce(torch.tensor(value, device=self.state.device), reduction="mean"))

    def part(self) -> None:
        """The first process lets the others go, who wait for it in `share` or here; from then on it is alone.

        Raises:
            Dismissed: in the others.
        """
        if self.leads and not self.apart:
            broadcast_object_list([True, None])
            self.state.destroy_process_group()
        else:
            self.share(None)


def _refuse_stray_counts() -> None:
    """Without a card, accelerate joins as many processes as one of these says; no launcher of ours began them."""
    for name in ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"):
        count = os.environ.get(name, "1")
        if count not in ("0", "1"):
            raise EnvironmentLack(
                f"环境变量 {name}={count} 说有几个进程一起训练，却没有 LOCAL_RANK 说这是哪一个",
                f"The variable {name}={count} speaks of processes that train together, and no LOCAL_RANK says which "
                "one this is",
                todo_zh=f"只用一个进程：先 unset {name}；要用几个：用 torchrun 启动。",
                todo_en=f"For one process, `unset {name}` first; for several, start them with torchrun.",
            )


def _too_many(processes: int, cards: int) -> EnvironmentLack:
    return EnvironmentLack(
        f"启动了 {processes} 个进程，这台机器上只有 {cards} 张卡可用",
        f"{processes} processes were started, and there is work for {cards} on this machine",
        todo_zh=f"用 --nproc-per-node {cards}；只有一张卡就直接运行 qingtiao train。",
        todo_en=f"Use --nproc-per-node {cards}; with one card, run `qingtiao train` itself.",
    )
