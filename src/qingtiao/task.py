"""What a task is, and how it is found: one file in `tasks/`, whose name is the task's name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from qingtiao.answers import Answer, Text
from qingtiao.config import Settings, suggestion
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import ConfigError
from qingtiao.evaluate.measures import Measure
from qingtiao.types import Record, Row

Output = NDArray[np.float32]  # what the model computes for one row; its shape is the task's own
Feature = Mapping[str, Any]
Baseline = Callable[[Sequence[Row]], Sequence[Answer]]


class Title(NamedTuple):
    zh: str
    en: str


class Task(Protocol):
    """A task that knows what it learnt from the training rows. Immutable; a bundle keeps `state()`.

    A task file exports one class named `Task` of this shape. Two passes of the model are told apart: `judge` sees
    rows with their targets and is what dev scores and the reload proof come from; `infer` sees rows without, and
    `decode` makes answers of what it gives. Where the model just classifies they are one and the same.
    """

    title: ClassVar[Title]
    auto_class: ClassVar[str]  # the transformers Auto class that loads a base with the right head
    processor_class: ClassVar[str]  # AutoTokenizer, or AutoProcessor where more than text is read
    peft_task_type: ClassVar[str | None]  # None where PEFT has no wrapper for the base
    Options: ClassVar[type[Settings]]
    Input: ClassVar[type[Settings]]  # what one is asked: the web form and the HTTP shape are made of it
    samples: ClassVar[tuple[Mapping[str, Any], ...]]  # built-in rows: docs, forms and the contract test use them
    exclusive: ClassVar[bool]  # each row bears one of `labels`: the report is that of a classifier
    scores: ClassVar[Mapping[str, bool]]  # what `score` gives; True: higher is better; the first picks the best model
    measures: ClassVar[tuple[Measure, ...]]  # what a report that is no classifier's holds; the first gives the verdict

    @property
    def labels(self) -> tuple[str, ...]:
        """What answers may be labelled with, in the order of the model's outputs; empty where nothing is."""

    @property
    def options(self) -> Settings:
        """The options it was fitted with: rows to be judged are parsed with the same."""

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        """Records as rows, columns found by name unless `columns` names them (role to column).

        With `labelled` False targets are neither wanted nor looked for.

        Raises:
            DataError: with the place of the first bad row.
        """

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        """The row with its text cleaned as far as the task allows."""

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        """Learn what must be known before training. Raises DataError when the rows cannot be learnt from."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild what `state` described. Raises ValueError, KeyError or TypeError when it is not such a state."""

    def state(self) -> dict[str, Any]:
        """Everything a bundle must remember, as JSON."""

    def model_options(self) -> dict[str, Any]:
        """Keywords for `from_pretrained`: the size of the head and the names of its outputs."""

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse targets that cannot be judged. Raises DataError with the place of the first."""

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """Rows as features with at least `input_ids`; a row whose target is None gets no `labels`.

        A feature whose input was cut to `max_length` tokens says so under `cut`; one that costs the model more than
        its `input_ids` says how many tokens it is worth under `cost`.
        """

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        """Features as one padded batch."""

    def weight(self, feature: Feature) -> int:
        """Over how many things (rows, tokens) the loss of this feature is a mean."""

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The mean training loss of the batch, a scalar."""

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """What `score`, `tune` and the reload proof look at, a float array a row."""

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """What `decode` makes answers of, an array a row."""

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        """A copy with temperature, thresholds … fitted on dev rows and what `judge` gave for them."""

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        """Answers from what `infer` gave."""

    def blank_answer(self) -> Answer:
        """The answer to an input with nothing in it."""

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        """`scores` by name, from what `judge` gave; holds at least `loss`."""

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        """For each of `measures` by name, the numbers it sums over: shape (rows, k)."""

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        """What costs next to nothing and any adapter must beat, learnt from the training rows, by name."""


# What only some tasks can: whoever needs it asks with `isinstance`.


@runtime_checkable
class Speaking(Protocol):
    """A task whose answers can be watched while they are written."""

    def speak(self, model: Any, batch: Mapping[str, torch.Tensor], tokenizer: Any) -> Generator[Text, None, None]:
        """The answer to a batch of one row as far as it is written; the last one is what `decode` makes of `infer`."""


@runtime_checkable
class TeacherForced(Protocol):
    """A task with measures of how likely the targets are to a model: they need the model, not its answers.

    The base without its adapter can be asked the same, and becomes a baseline of the report.
    """

    forced: ClassVar[tuple[Measure, ...]]

    def measure_outputs(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        """For each of `forced` by name, the numbers it sums over, from what `judge` gave: shape (rows, k)."""


@runtime_checkable
class Untaught(Protocol):
    """A task that a base can do without having learnt it: its answers are a baseline of the report."""

    untaught: ClassVar[bool]


def task_names() -> list[str]:
    # By path: importing the package would point upward.
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).with_name("tasks"))]))


def find_task(name: str) -> type[Task]:
    """The class of the task in `tasks/<name>.py`, imported now.

    Raises:
        ConfigError: there is no such file.
    """
    names = task_names()
    if name not in names:
        zh, en = suggestion(name, names)
        raise ConfigError(
            f"没有任务 {name}{zh}",
            f"There is no task {name}{en}",
            todo_zh="可用的任务：" + "、".join(names),
            todo_en="Tasks: " + ", ".join(names),
        )
    return cast("type[Task]", importlib.import_module(f"qingtiao.tasks.{name}").Task)


class Chosen(NamedTuple):
    """The score that picks the best model, and which way it points."""

    name: str
    higher_is_better: bool


def choosing_score(task: type[Task] | Task, wanted: str) -> Chosen:
    """The task's score named `wanted`; its first one for `auto`.

    Raises:
        ConfigError: the task gives no such score.
    """
    name = next(iter(task.scores)) if wanted == "auto" else wanted
    if name not in task.scores:
        zh, en = suggestion(name, list(task.scores))
        raise ConfigError(
            f"train.metric：这个任务没有指标 {name}{zh}",
            f"train.metric: the task has no score {name}{en}",
            todo_zh="可用的指标：" + "、".join(task.scores),
            todo_en="Scores: " + ", ".join(task.scores),
        )
    return Chosen(name, task.scores[name])
