"""What a run tells its consumers. Progress bars, trackers, the web page and tests all read these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Phase:
    """A run enters one of its stages."""

    name: Literal["data", "audit", "base", "train", "evaluate", "bundle", "proof"]


@dataclass(frozen=True, slots=True)
class Entered:
    """A comparison turns to one of its entries; `done` says that it was trained before and is taken as it is."""

    name: str
    number: int
    total: int
    done: bool


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audit found, as its JSON; see `data.audit`."""

    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quantised:
    """`layers` of the base were quantised to `how` ("8bit" or "4bit"); the bytes are those of all its weights."""

    how: str
    layers: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """The training rows as tokens: `cut` of `rows` were too long and lost their ends, `dropped` all they had to teach.

    The latter are not trained on.
    """

    rows: int
    cut: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Started:
    """Before the first step. The estimates, of the time for all steps and of peak memory, are in seconds and bytes."""

    total_steps: int
    first_step: int
    epochs: int
    examples: int
    trainable_parameters: int
    parameters: int
    precision: str
    device: str
    seconds_estimate: float
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
    """The model now holds the weights of `best_step`; `best_metric` is None when there were no dev rows.

    `reason` is `done` or `early_stopping`; `history` holds epoch, step and metrics of each look at the dev rows.
    """

    step: int
    best_step: int
    best_metric: float | None
    seconds: float
    reason: str
    history: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, slots=True)
class Proved:
    """A fresh process loaded the bundle; its logits differ from the trained model's by this much at the most."""

    bundle: str
    max_abs_logit_difference: float


Event = Phase | Entered | Audited | Quantised | Encoded | Started | Step | Evaluated | Saved | Finished | Proved


def as_json(event: Event) -> dict[str, Any]:
    """The event as one flat JSON object, with its class name, lower case, under `event`."""
    return {"event": type(event).__name__.lower(), **asdict(event)}
