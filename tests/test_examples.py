"""Every config in `examples/` runs as it stands, but for a tiny random base and one pass; every task has one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from bases import save_base

from qingtiao.cli import main
from qingtiao.task import find_task, task_names

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))

pytestmark = pytest.mark.slow


def settings(path: Path) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def test_every_task_has_an_example() -> None:
    shown = {str(settings(path).get("task", "text_classification")) for path in EXAMPLES}
    assert shown == set(task_names())
    assert len(EXAMPLES) >= len(shown)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = find_task(str(settings(path).get("task", "text_classification")))
    save_base(tmp_path / "base", kind.auto_class, (str(sample) for sample in kind.samples))
    command = ["train", "--config", str(path), "--base", str(tmp_path / "base"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--sample", "24", "--set", "train.epochs=1", "--set", "base.max_length=96"])
    assert leaving.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "out" / "bundle" / "qingtiao.json").is_file()
    assert path.name in path.read_text(encoding="utf-8").splitlines()[0], "its first line tells how to run it"
