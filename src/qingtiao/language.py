"""Which language people are spoken to in: Chinese or English, by `QINGTIAO_LANG`, else the locale."""

from __future__ import annotations

import locale
import os
from typing import Literal

Language = Literal["zh", "en"]


def language() -> Language:
    """`QINGTIAO_LANG` when set (anything that begins with `en` is English), else the locale, else Chinese."""
    chosen = os.environ.get("QINGTIAO_LANG") or _locale_name()
    return "en" if chosen.lower().startswith("en") else "zh"


def _locale_name() -> str:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return value
    return locale.getlocale()[0] or ""


def say(zh: str, en: str) -> str:
    """The one of the two that the reader wants. Both stand at the call site, so that neither is forgotten."""
    return en if language() == "en" else zh
