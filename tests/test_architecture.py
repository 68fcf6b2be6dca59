"""The shape of the code: what imports what, what an import costs, what is offered, how long a file may grow."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import qingtiao
from qingtiao.config import Settings
from qingtiao.task import Task, find_task, task_names

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "qingtiao").rglob("*.py"))
LONGEST_FILE = 400
DRAWERS_FOR_ANYTHING = {"utils", "util", "common", "helpers", "helper", "misc"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )


def test_imports_point_downward() -> None:
    answer = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1 kept, 0 broken" in answer.stdout


def test_the_page_draws_the_layers_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("qingtiao.", "") for layer in contract["layers"]]
    assert len(layers) >= 15
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "```text\n" + "\n".join(layers) + "\n```" in page


@pytest.mark.parametrize("module", ["qingtiao", "qingtiao.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    heavy = ["torch", "transformers", "sklearn", "peft", "accelerate", "datasets", "gradio", "tensorboard"]
    answer = run(
        sys.executable, "-c", f"import sys, {module}; print('loaded:', [n for n in {heavy} if n in sys.modules])"
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "loaded: []"


def test_the_package_offers_exactly_these_names() -> None:
    assert sorted(qingtiao.__all__) == ["__version__", "load"]
    for name in qingtiao.__all__:
        assert getattr(qingtiao, name)


def test_no_file_is_too_long() -> None:
    assert len(SOURCES) >= 25
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_module_is_a_drawer_for_anything() -> None:
    assert len(SOURCES) >= 25
    names = {path: {path.stem, *path.relative_to(ROOT).parent.parts} for path in SOURCES}
    assert [path for path, parts in names.items() if parts & DRAWERS_FOR_ANYTHING] == []


def test_packages_hold_no_code_in_their_init() -> None:
    """Only `qingtiao/__init__.py` and `cli/__init__.py` may re-export; none defines anything."""
    inits = [path for path in SOURCES if path.name == "__init__.py"]
    assert len(inits) >= 7
    for path in inits:
        defined = [
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        assert defined == [], path


def test_there_are_tasks() -> None:
    assert len(task_names()) >= 1
    assert "text_classification" in task_names()


@pytest.mark.parametrize("name", task_names())
def test_a_task_file_has_everything_the_contract_names(name: str) -> None:
    kind = find_task(name)
    assert importlib.import_module(f"qingtiao.tasks.{name}").Task is kind

    constants = set(Task.__annotations__)
    methods = {n: value for n, value in vars(Task).items() if not n.startswith("_") and callable(inspect.unwrap(value))}
    methods |= {n: v for n, v in vars(Task).items() if isinstance(v, classmethod | property) and not n.startswith("_")}
    assert len(constants) >= 5
    assert len(methods) >= 12

    missing = [member for member in constants | methods.keys() if not hasattr(kind, member)]
    assert missing == []
    for member, promised in methods.items():
        if not isinstance(promised, property):
            assert _parameters(getattr(kind, member)) == _parameters(getattr(Task, member)), member


def _parameters(function: object) -> list[tuple[str, str]]:
    assert callable(function)
    return [(parameter.name, parameter.kind.name) for parameter in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", task_names())
def test_a_task_says_what_it_is(name: str) -> None:
    kind = find_task(name)
    assert kind.title.zh
    assert kind.title.en
    assert issubclass(kind.Options, Settings)
    assert 20 <= len(kind.samples) <= 50
    texts = [str(sample) for sample in kind.samples]
    assert len(set(texts)) == len(texts)
