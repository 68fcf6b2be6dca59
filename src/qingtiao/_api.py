"""The names that `import qingtiao` offers. Nothing heavy is imported until one of them is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qingtiao.predict import Predictor


def load(path: str | Path) -> Predictor:
    """The predictor of a bundle: `qingtiao.load("runs/demo/bundle").predict(["真好吃"])`.

    Raises:
        BundleError: the folder is not a bundle, or is damaged, or does not fit its base.
        BaseModelError: the base the bundle was trained on cannot be found.
    """
    from qingtiao.bundle import load_bundle

    return load_bundle(Path(path))
