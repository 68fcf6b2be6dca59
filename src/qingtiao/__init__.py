"""Qingtiao 轻调: from raw Chinese text to a small, verified, deployable adapter."""

from qingtiao._api import load
from qingtiao.version import __version__

__all__ = ["__version__", "load"]
