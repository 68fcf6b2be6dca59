"""The command line: a thin wrapper around the workflows, a file a verb. Printing help loads no torch."""

from qingtiao.cli.main import main

__all__ = ["main"]
