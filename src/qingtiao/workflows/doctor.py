"""`doctor`: what this machine has, measured where a flag would not tell."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from qingtiao.language import language
from qingtiao.models.base import EMBEDDED, locate
from qingtiao.models.device import bf16_speedup, pick_device, pick_precision

_REQUIRED = ("torch", "transformers", "peft", "accelerate", "tokenizers", "scikit-learn", "pyarrow")
_OPTIONAL = {"gradio": "app", "datasets": "hub", "opencc": "opencc", "tensorboard": "track"}


def examine() -> dict[str, Any]:
    """Facts by name; every value is JSON."""
    device = pick_device()
    return {
        "qingtiao": version("qingtiao"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "language": language(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "bf16_speedup": round(bf16_speedup(), 2),
        "precision": pick_precision("auto", device),
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "hub": os.environ.get("HF_ENDPOINT", "https://huggingface.co"),
        "embedded_bases": {name: locate(name) for name in EMBEDDED},
        "libraries": {name: version(name) for name in _REQUIRED},
        "optional": {name: _version_or_hint(name, extra) for name, extra in _OPTIONAL.items()},
    }


def _version_or_hint(name: str, extra: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return f'pip install "qingtiao[{extra}]"'
