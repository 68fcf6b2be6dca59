"""Reports on made-up predictions whose quality is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from qingtiao.evaluate.report import About, Report, TestRows, build_report
from qingtiao.types import Place


def probabilities(gold: np.ndarray, *, classes: int, accuracy: float, seed: int) -> np.ndarray:
    """Confident answers, right with the chance `accuracy`; wrong ones name the next class."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(len(gold), classes))
    answers = np.where(generator.random(len(gold)) < accuracy, gold, (gold + 1) % classes)
    logits[np.arange(len(gold)), answers] += 6
    raised = np.exp(logits)
    return raised / raised.sum(axis=1, keepdims=True)


def build(
    *,
    n: int = 400,
    labels: Sequence[str] = ("差评", "好评"),
    adapter: float = 0.95,
    tfidf: float = 0.85,
    clean: float = 0.7,
    text: str = "房间很干净",
    about: About | None = None,
) -> Report:
    generator = np.random.default_rng(n)
    gold = generator.integers(0, len(labels), n)
    rows = TestRows(
        texts=[text * (1 + row % 9) for row in range(n)],
        gold=gold,
        clean=generator.random(n) < clean,
        places=[Place("test.csv", row + 2) for row in range(n)],
    )
    return build_report(
        rows,
        probabilities(gold, classes=len(labels), accuracy=adapter, seed=1),
        labels=labels,
        baselines={
            "tfidf": probabilities(gold, classes=len(labels), accuracy=tfidf, seed=2),
            "majority": np.tile(np.eye(len(labels))[0], (n, 1)),
        },
        about=about,
    )


@pytest.fixture(scope="session")
def make() -> Callable[..., Report]:
    """`make(n=…, labels=…)` builds a report; every option has a plain default."""
    return build
