"""A process that cannot join the others says so; what they do together is in tests/workflows/test_processes.py."""

from __future__ import annotations

import pytest

from qingtiao.errors import EnvironmentLack
from qingtiao.train.processes import Group


def test_alone_everything_is_shared_at_once() -> None:
    group = Group()
    assert group.leads and group.size == 1
    assert group.share("settings") == "settings" and group.mean(2.5) == 2.5
    group.agree(7)
    group.part()


def test_more_processes_than_can_train_here_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(EnvironmentLack, match=r"3 (个进程|processes)"):
        Group()


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_others_that_no_launcher_began_are_not_waited_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(EnvironmentLack, match=rf"unset {name}"):
        Group()
