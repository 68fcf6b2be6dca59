"""One run in several processes, started as on a machine with several graphics cards; here they share the processor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import labelled_texts, wait_for_step, write_csv

from qingtiao.cli import main

pytestmark = pytest.mark.slow
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qingtiao"]


def arguments(folder: Path, base: str, *settings: str, out: str) -> list[str]:
    """Training on 61 rows, in batches of 8: the last one holds 5."""
    rows = labelled_texts()
    for name, part in (("train", rows[:61]), ("dev", rows[61:93]), ("test", rows[93:])):
        write_csv(folder / f"{name}.csv", part)
    files = [f"--{flag}={folder / name}.csv" for flag, name in (("data", "train"), ("dev", "dev"), ("test", "test"))]
    wanted = [
        "base.max_length=32",
        "train.batch_size=8",
        "train.learning_rate=0.005",
        "train.epochs=4",
        "train.metric=loss",
        *settings,
    ]
    return ["train", *files, "--base", base, "--out", str(folder / out), *(f"--set={value}" for value in wanted)]


def launch(*args: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "QINGTIAO_LANG": "en"}
    return subprocess.Popen(
        [*LAUNCHER, *args], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    told, _ = process.communicate(timeout=300)
    return process.returncode, told


def without_dropout(base: str, folder: Path) -> str:
    shutil.copytree(base, folder)
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('dropout_prob": 0.1', 'dropout_prob": 0.0'))
    return str(folder)


def adapter(out: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(out / "bundle" / "adapter_model.safetensors"))


def test_two_processes_do_what_one_does_with_batches_of_both(tiny_base: str, tmp_path: Path) -> None:
    """The mean over all rows of a step, and not of the processes' means: the last batch is smaller than its partner."""
    steady = without_dropout(tiny_base, tmp_path / "base")
    with suppress(SystemExit):
        main(arguments(tmp_path, steady, "train.accumulation=2", out="one"))
    code, told = finished(launch(*arguments(tmp_path, steady, out="two")))
    assert code == 0, told
    assert told.count("Proved") == 1 and told.count("Auditing") == 1
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(os.name == "nt", reason="the launcher's signals are those of Unix")
def test_a_stopped_run_goes_on_to_the_same_weights(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = arguments(tmp_path, tiny_base, "train.epochs=40", out="whole")
    # Saving after every step, so that the signal comes into a step that follows a save.
    cut = arguments(tmp_path, tiny_base, "train.epochs=40", "train.checkpoint_seconds=0", out="cut")
    code, told = finished(launch(*whole))
    assert code == 0, told
    process = launch(*cut)
    wait_for_step(tmp_path / "cut", 5, process)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, told = finished(process)
    assert told.count("Stopped; the progress is saved") == 1 and "fault" not in told
    assert [*(tmp_path / "cut" / "checkpoints").glob("step-*")]

    with pytest.raises(SystemExit) as alone:
        main(["train", "--resume", "--out", str(tmp_path / "cut")])
    assert alone.value.code == 2 and "另一个进程数" in capsys.readouterr().err
    code, told = finished(launch("train", "--resume", "--out", str(tmp_path / "cut")))
    assert code == 0 and "Going on from step" in told
    one, two = adapter(tmp_path / "whole"), adapter(tmp_path / "cut")
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_mistake_is_told_once(tiny_base: str, tmp_path: Path) -> None:
    args = arguments(tmp_path, tiny_base, out="out")
    code, told = finished(launch(*args, "--label-column", "nix"))
    assert code != 0
    assert told.count("has no label column nix") == 1 and "fault" not in told


def test_other_commands_stay_in_one_process(tmp_path: Path) -> None:
    code, told = finished(launch("demo", "--out", str(tmp_path / "out")))
    assert code != 0
    assert "`qingtiao demo` cannot be started in several processes" in told
    assert not (tmp_path / "out").exists()
