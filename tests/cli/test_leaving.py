"""How the command ends when it was called wrongly, or when no one can take what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from qingtiao.cli import main
from qingtiao.cli.main import VERBS
from qingtiao.version import __version__

QINGTIAO = [sys.executable, "-m", "qingtiao"]


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_leaves_is_no_failure(more: list[str]) -> None:
    command = [*QINGTIAO, "bases", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == 0


def test_a_pipe_of_another_process_is_no_reader(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def bases() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setitem(VERBS, "bases", bases)
    with pytest.raises(SystemExit) as leaving:
        main(["bases"])
    assert leaving.value.code == 1 and "another process ended early" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is of Linux")
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_a_full_disk_behind_the_output_is_told_once(more: list[str]) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run([*QINGTIAO, "bases", *more], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert "磁盘满了" in done.stderr and done.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["trian"], "没有 trian 这个命令，是不是 train？"),
        (["audit", "a.csv", "--jso"], "没有 --jso 这个选项，是不是 --json？"),
        (["audit", "a.csv", "--zzzz"], "没有 --zzzz 这个选项"),
        (["audit"], "缺少 TRAIN"),
        (["train", "--sample", "abc"], "--sample 的值不可用"),
        (["train", "--data"], "--data"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_a_mistake_like_any_other(
    arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *rest = arguments
    with pytest.raises(SystemExit) as leaving:
        main([verb, "--json", *rest])
    told = capsys.readouterr()
    assert leaving.value.code == 2 and what in told.err
    assert what in json.loads(told.out)["error"]["what"]


def test_nothing_asked_for_is_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (([], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as leaving:
            main(arguments)
        assert leaving.value.code == code and "doctor" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0 and capsys.readouterr().out == f"{__version__}\n"
