"""The command that a finished run proposes is one that works, for every task."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from qingtiao.bundle import MANIFEST
from qingtiao.cli.predict import _input
from qingtiao.cli.train import first_question
from qingtiao.config import parse
from qingtiao.predict import Predictor
from qingtiao.task import find_task, task_names


@pytest.mark.parametrize("task", task_names())
def test_what_is_proposed_can_be_asked(task: str, tmp_path: Path) -> None:
    manifest = {
        **{"task": task, "task_state": {}, "normalise": {}, "max_length": 8, "files": {}},
        **{"base": {"name": "b", "revision": None, "fingerprint": ""}, "data": {}, "metrics": {}, "versions": {}},
    }
    bundle = tmp_path / "my runs"
    bundle.mkdir()
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    program, verb, folder, *question = shlex.split(first_question(bundle))
    assert (program, folder) == ("qingtiao", str(bundle))
    kind = find_task(task)
    if verb == "app":
        assert kind.processor_class != "AutoTokenizer" and not question  # a picture fits into no line
        return
    unused = dict.fromkeys(("model", "tokenizer", "normaliser", "max_length", "device", "precision"))
    predictor = Predictor(task=kind, **unused)  # type: ignore[arg-type]
    asked = _input(predictor, *question)
    first = next(iter(kind.Input.model_fields))
    assert parse(kind.Input, asked if isinstance(asked, dict) else {first: asked})


def test_there_are_tasks_to_propose_for() -> None:
    assert len(task_names()) >= 10
