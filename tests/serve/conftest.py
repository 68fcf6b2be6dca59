"""The page and the service speak Chinese here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "zh")
