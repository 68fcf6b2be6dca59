"""Show a run's events as progress bars, and stop it cleanly on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType
from typing import Any, TypeVar

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from qingtiao.cli.findings import columns_taken, headline, places
from qingtiao.cli.output import percent, stderr
from qingtiao.errors import Interrupted
from qingtiao.events import (
    Audited,
    Encoded,
    Entered,
    Evaluated,
    Event,
    Finished,
    Phase,
    Proved,
    Quantised,
    Saved,
    Started,
    Step,
)
from qingtiao.language import say

Result = TypeVar("Result")

_MOST_PLACES = 2
_PHASES = {
    "data": ("读数据", "Reading the data"),
    "audit": ("体检", "Auditing"),
    "base": ("加载基座", "Loading the base"),
    "train": ("训练", "Training"),
    "evaluate": ("评测，与基线比较", "Evaluating beside the baselines"),
    "bundle": ("保存", "Saving the bundle"),
    "proof": ("在新进程里重新加载并核对", "Reloading in a fresh process to prove it"),
}


def follow(
    events: Generator[Event, None, Result], *, out: str, quiet: bool, again: tuple[str, str] | None = None
) -> Result:
    """Consume the events, showing them unless `quiet`; the generator's return value.

    Args:
        again: how to go on after a stop, in Chinese and English; `train --resume` when absent.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came while training; the progress is saved.
    """
    view = _View(quiet=quiet)
    with _StopSignal() as stop, view.progress:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                value: Result = end.value
                return value
            except KeyboardInterrupt:
                events.close()
                raise _stopped(again or _resume(out)) from None
            stop.may_wait = isinstance(event, Started | Step | Evaluated | Saved)
            view.show(event)
            if stop.requested:
                events.close()
                raise _stopped(again or _resume(out))


def _resume(out: str) -> tuple[str, str]:
    command = f"qingtiao train --resume --out {out}"
    return f"接着跑：{command}", f"To go on: {command}"


def _stopped(again: tuple[str, str]) -> Interrupted:
    zh, en = again
    return Interrupted("已停止，进度已保存", "Stopped; the progress is saved", todo_zh=zh, todo_en=en)


class _StopSignal:
    """While training, the first Ctrl-C waits for the step to end, so that a whole state can be saved."""

    def __init__(self) -> None:
        self.requested = self.may_wait = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> _StopSignal:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._handle)
        except ValueError:
            pass  # not in the main thread: whoever runs us there handles signals
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested or not self.may_wait:
            raise KeyboardInterrupt
        self.requested = True


class _View:
    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: TaskID | None = None
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=stderr,
            transient=True,
            disable=quiet or not stderr.is_terminal,
        )

    def show(self, event: Event) -> None:
        if self.quiet:
            return
        match event:
            case Phase():
                stderr.print(f"[bold cyan]●[/] {say(*_PHASES[event.name])}")
            case Entered():
                done = say("（已训练过）", " (trained before)") if event.done else ""
                stderr.print(f"\n[bold]{event.number}/{event.total}  {escape(event.name)}[/]{done}")
            case Audited():
                self._audited(event)
            case Quantised():
                self._quantised(event)
            case Encoded():
                self._encoded(event)
            case Started():
                self._started(event)
            case Step():
                self._step(event)
            case Evaluated():
                self._evaluated(event)
            case Finished():
                self._finished(event)
            case Proved():
                difference = f"{event.max_abs_logit_difference:.1e}"
                stderr.print(
                    say(f"  核对通过，logits 最大差 {difference}", f"  Proved; largest logit difference {difference}")
                )

    def _audited(self, event: Audited) -> None:
        if columns := columns_taken(event.report, "train"):
            stderr.print(f"  {escape(columns)}")
        for finding in event.report["findings"]:
            if finding["severity"] != "info":
                where = places(finding, most=_MOST_PLACES)
                stderr.print(f"  {headline(finding)}" + (f"  [dim]{where}[/]" if where else ""))

    def _quantised(self, event: Quantised) -> None:
        before, after = (f"{size / 2**20:,.1f} MiB" for size in (event.bytes_before, event.bytes_after))
        stderr.print(
            say(
                f"  基座的 {event.layers} 层量化成 {event.how}：权重 {before} → {after}",
                f"  {event.layers} layers of the base quantised to {event.how}: weights {before} → {after}",
            )
        )

    def _encoded(self, event: Encoded) -> None:
        if event.cut:
            zh = f"  {event.rows} 行里有 {event.cut} 行太长，截短了"
            en = f"  {event.cut} of {event.rows} rows were too long and were cut"
            if event.dropped:
                zh += f"；{event.dropped} 行要学的全被截掉，没有用来训练"
                en += f"; {event.dropped} lost all they had to teach and were left out"
            stderr.print(f"[yellow]{say(zh, en)}[/]  --set base.max_length", highlight=False)

    def _started(self, event: Started) -> None:
        share, memory = percent(event.trainable_share), f"{event.memory_estimate / 2**30:.1f} GB"
        estimate = clock(event.seconds_estimate)
        stderr.print(
            say(
                f"  训练 {event.trainable_parameters:,} / {event.parameters:,} 个参数（{share}），"
                f"{event.examples:,} 行 × {event.epochs} 遍，{event.precision}；预计最多 {estimate}，内存约 {memory}",
                f"  Training {event.trainable_parameters:,} of {event.parameters:,} parameters ({share}), "
                f"{event.examples:,} rows × {event.epochs} epochs, {event.precision}; at most {estimate}, {memory}",
            )
        )
        if event.first_step:
            stderr.print(say(f"  从第 {event.first_step} 步接着训练", f"  Going on from step {event.first_step}"))
        self.bar = self.progress.add_task(say("  训练", "  Training"), total=event.total_steps, left="")
        self.progress.update(self.bar, completed=event.first_step)

    def _step(self, event: Step) -> None:
        if self.bar is not None:
            left = say("剩余", "left") + f" {clock(event.seconds_left)}  loss {event.loss:.3f}"
            self.progress.update(self.bar, completed=event.step, left=left)

    def _evaluated(self, event: Evaluated) -> None:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
        mark = " ★" if event.best else ""
        stderr.print(say(f"  第 {event.epoch:.0f} 遍  {metrics}{mark}", f"  epoch {event.epoch:.0f}  {metrics}{mark}"))

    def _finished(self, event: Finished) -> None:
        if self.bar is not None:
            self.progress.remove_task(self.bar)
        early = say("，提前停止", ", stopped early") if event.reason == "early_stopping" else ""
        stderr.print(
            say(
                f"  用时 {clock(event.seconds)}{early}；取第 {event.best_step} 步的权重",
                f"  Took {clock(event.seconds)}{early}; keeping the weights of step {event.best_step}",
            )
        )


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
