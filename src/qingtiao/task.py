"""What a task is, and how it is found: one file in `tasks/`, whose name is the task's name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from qingtiao.config import Settings, suggestion
from qingtiao.errors import ConfigError
from qingtiao.types import Prediction, Record, Row


class Title(NamedTuple):
    zh: str
    en: str


class Task(Protocol):
    """A task whose labels are known. Immutable; a bundle keeps `state()` and rebuilds it from that.

    A task file exports one class named `Task` of this shape. Logits are float32 of shape (rows, classes).
    """

    title: ClassVar[Title]
    auto_class: ClassVar[str]  # the transformers Auto class that loads a base with the right head
    peft_task_type: ClassVar[str]
    Options: ClassVar[type[Settings]]
    samples: ClassVar[tuple[Mapping[str, Any], ...]]  # built-in rows: docs, forms and the contract test use them

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the classes."""

    @property
    def options(self) -> Settings:
        """The options it was fitted with: rows to be judged are parsed with the same."""

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, text_column: str | None, label_column: str | None
    ) -> list[Row]:
        """Records as rows, columns found by name. Raises DataError with the place of the first bad row."""

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        """Learn the labels from the training rows. Raises DataError when they cannot be learnt from."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild what `state` described. Raises ValueError when it is not such a state."""

    def state(self) -> dict[str, Any]:
        """Everything a bundle must remember, as JSON."""

    def model_options(self) -> dict[str, Any]:
        """Keywords for `from_pretrained`: the size of the head and the names of its outputs."""

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """Rows as features; a row whose target is None gets no labels."""

    def collate(self, features: Sequence[Mapping[str, Any]], tokenizer: Any) -> dict[str, torch.Tensor]:
        """Features as one padded batch: `input_ids` and `attention_mask` (rows, length), `labels` (rows,)."""

    def decode(self, logits: NDArray[np.float32]) -> list[Prediction]:
        """Logits as answers."""

    def blank_answer(self) -> Prediction:
        """The answer to a text with nothing in it."""

    def gold(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """Class ids of the rows' targets, shape (rows,). Raises DataError for a label training never saw."""

    def score(self, logits: NDArray[np.float32], rows: Sequence[Row]) -> dict[str, float]:
        """Metrics by name; holds at least `loss`."""


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
