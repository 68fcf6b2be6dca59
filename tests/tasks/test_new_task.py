"""A task from outside is one file: put beside the shipped ones, it passes the whole contract suite unedited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import qingtiao

HERE = Path(__file__).parent
TOY = HERE / "toys" / "ordinal.py"
BEHAVIOURS = 25  # of the two suites that run over every task


@pytest.mark.slow
def test_a_new_file_is_a_new_task(tmp_path: Path) -> None:
    package = tmp_path / "src" / "qingtiao"
    shutil.copytree(Path(qingtiao.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOY, package / "tasks")
    told = tmp_path / "told.xml"
    suites = [str(HERE / "test_contract.py"), str(HERE.parent / "test_architecture.py")]
    command = [sys.executable, "-m", "pytest", *suites, "-k", "ordinal", f"--junitxml={told}"]
    run = subprocess.run(
        [*command, "-q", "-p", "no:cacheprovider"],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    cases = list(ET.parse(told).iter("testcase"))
    assert len(cases) >= BEHAVIOURS
    assert all("ordinal" in case.get("name", "") for case in cases)
    assert not any(case.find(kind) is not None for case in cases for kind in ("failure", "error", "skipped"))
