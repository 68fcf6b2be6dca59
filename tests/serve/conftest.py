"""A real predictor with random weights over the test tokenizer: its answers mean nothing and are always the same."""

from __future__ import annotations

import pytest
import torch

from qingtiao.config import NormaliseConfig
from qingtiao.data.normalise import Normaliser
from qingtiao.models.base import load_base
from qingtiao.predict import Predictor
from qingtiao.task import find_task
from qingtiao.types import Place, Row

LABELS = ("负面", "正面")


@pytest.fixture(scope="session")
def predictor(tiny_base: str) -> Predictor:
    kind = find_task("text_classification")
    rows = [Row("甲", label, Place("memory", index)) for index, label in enumerate(LABELS * 2)]
    task = kind.fit(rows, kind.Options())
    torch.manual_seed(3)
    base = load_base(tiny_base, revision=None, auto_class=task.auto_class, model_options=task.model_options())
    return Predictor(
        task=task,
        model=base.model.eval(),
        tokenizer=base.tokenizer,
        normaliser=Normaliser(NormaliseConfig()),
        max_length=32,
        device=torch.device("cpu"),
        precision="fp32",
    )


@pytest.fixture(autouse=True)
def _chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "zh")
