"""What training tells its consumers. Progress bars, trackers, the web page and tests all read these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Started:
    """Before the first step. `trainable_share` is a fraction of all parameters; memory is in bytes."""

    total_steps: int
    first_step: int
    epochs: int
    examples: int
    trainable_parameters: int
    parameters: int
    precision: str
    device: str
    memory_estimate: int

    @property
    def trainable_share(self) -> float:
        return self.trainable_parameters / self.parameters


@dataclass(frozen=True, slots=True)
class Step:
    """After each optimiser step. `loss` is the mean over the step's examples; `seconds_left` an estimate."""

    step: int
    total_steps: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    examples_per_second: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """After each look at the dev rows. `best` says that this is the best so far by `metric`."""

    step: int
    epoch: float
    metric: str
    metrics: Mapping[str, float]
    best: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint is on disk, whole."""

    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The model now holds the weights of `best_step`. `reason` is `done` or `early_stopping`."""

    step: int
    best_step: int
    best_metric: float
    seconds: float
    reason: str


Event = Started | Step | Evaluated | Saved | Finished


def as_json(event: Event) -> dict[str, Any]:
    """The event as one flat JSON object, with its class name, lower case, under `event`."""
    return {"event": type(event).__name__.lower(), **asdict(event)}
