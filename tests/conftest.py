"""The environment of all tests, and the fixtures that many share."""

from __future__ import annotations

import os

# Before any import of ours or of huggingface_hub, which read them once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("QINGTIAO_LANG", "zh")

import pytest
from tiny import random_predictor, save_tiny_base

from qingtiao.predict import Predictor


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny random base."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    save_tiny_base(folder)
    return str(folder)


@pytest.fixture(scope="session")
def predictor(tiny_base: str) -> Predictor:
    """A real predictor with random weights: its answers mean nothing and are always the same."""
    return random_predictor(tiny_base)
