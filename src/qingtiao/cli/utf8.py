"""A locale of plain ASCII, as containers, cron and ssh leave it, in which no Chinese word could be given or opened."""

from __future__ import annotations

import codecs
import os
import sys


def insist_on_utf8() -> None:
    """Start this process anew in Python's UTF-8 mode where it would take arguments and file names for ASCII.

    Python turns to UTF-8 by itself in such a locale (PEP 538, PEP 540) unless it was told not to; once it runs, what
    it makes of file names cannot be changed. The process keeps its number, its streams and its arguments.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "ascii" or not sys.executable:
        return
    os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
