"""The training pictures that a picture looks most like, by an 8 x 8 colour thumbnail: the cheap rival of image tasks.

Tiny images under a plain pixel distance are what Torralba, Fergus and Freeman ("80 million tiny images", 2008) showed
to go a surprisingly long way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qingtiao.evaluate.metrics import Ints
from qingtiao.types import Row
from qingtiao.vision.files import open_image

_SIDE = 8
_NEIGHBOURS = 5
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Lookalikes:
    """`thumbnails` of the training rows' pictures, shape (rows, 192), between 0 and 1."""

    thumbnails: NDArray[np.float32]

    @classmethod
    def fit(cls, rows: Sequence[Row]) -> Self:
        return cls(_thumbnails(rows))

    def nearest(self, rows: Sequence[Row]) -> Ints:
        """Training rows whose pictures are nearest to each row's, nearest first: shape (rows, at most 5)."""
        asked = _thumbnails(rows)
        chunks = [self._nearest(asked[start : start + _CHUNK]) for start in range(0, len(asked), _CHUNK)]
        return np.concatenate(chunks)

    def _nearest(self, asked: NDArray[np.float32]) -> Ints:
        # |a - b|² without a, which is the same for all.
        distances = (self.thumbnails**2).sum(axis=1) - 2 * asked @ self.thumbnails.T
        return np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBOURS]


def commonest(names: Sequence[str]) -> str:
    """The name that stands there most often, the earliest of these."""
    return Counter(names).most_common(1)[0][0]


def _thumbnails(rows: Sequence[Row]) -> NDArray[np.float32]:
    def thumbnail(row: Row) -> NDArray[np.float32]:
        image = open_image(str(row.fields["image"]), row.place, at_least=4 * _SIDE)
        small = image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float32).ravel() / np.float32(255)

    return np.stack([thumbnail(row) for row in rows])
