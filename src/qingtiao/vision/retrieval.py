"""Finding texts for images and images for texts: rankings both ways, the answer that holds them, recall as sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtiao.answers import Answer
from qingtiao.evaluate.measures import Measure, mean_of
from qingtiao.evaluate.metrics import Floats, Ints
from qingtiao.types import Row
from qingtiao.vision.files import shown_name

DEPTHS = (1, 5, 10)
Vectors = NDArray[np.float32]  # shape (rows, dimensions); a dot product tells how well an image and a text go together

_CHUNK = 1024  # queries ranked at once: against 50,000 others that is 200 MB
_COUNT = 2 * len(DEPTHS)  # the column after the hits


@dataclass(frozen=True, slots=True)
class Match:
    """What was found for an image that came with a text, among all that were asked of at once.

    Attributes:
        label: of the labels that are known from training, the one that fits the image best.
        texts: the texts that fit the image best, in order; at most as many as the deepest of `DEPTHS`.
        images: the images that fit its text best, in order and as `vision.files` names them.
    """

    label: str
    texts: tuple[str, ...]
    images: tuple[str, ...]
    notice: str | None = None

    @property
    def headline(self) -> str:
        return f"{self.label} · {self.texts[0]}" if self.texts and self.texts[0] != self.label else self.label

    @property
    def group(self) -> str:
        return self.label

    def as_json(self) -> dict[str, Any]:
        images = [shown_name(image) for image in self.images]
        return {"label": self.label, "texts": list(self.texts), "images": images, "notice": self.notice}

    def as_cells(self) -> dict[str, Any]:
        return {"label": self.label, "texts": "|".join(self.texts), "notice": self.notice or ""}


def matches(rows: Sequence[Row], images: Vectors, texts: Vectors, labels: Sequence[str] | None) -> list[Match]:
    """Each row's image against the texts of all rows and its text against all their images; equal ones count once.

    Args:
        images: of the rows' images; texts: of their texts (`fields["caption"]`), both of shape (rows, dimensions).
        labels: of each row; where there are none, the text that fits best.
    """
    first_text = _firsts([str(row.fields["caption"]) for row in rows])
    first_image = _firsts([str(row.fields["image"]) for row in rows])
    for_image = _ranked(images, texts[list(first_text.values())])
    for_text = _ranked(texts, images[list(first_image.values())])
    names, pictures = list(first_text), list(first_image)
    found = []
    for row in range(len(rows)):
        best = tuple(names[index] for index in for_image[row])
        label = labels[row] if labels is not None else best[0]
        found.append(Match(label, best, tuple(pictures[index] for index in for_text[row])))
    return found


def hits(answers: Sequence[Answer], rows: Sequence[Row]) -> Floats:
    """Shape (rows, 7): a right text within each of `DEPTHS`, a right image within each, and 1.

    Any text that the image bears in `rows` is right, and any image that bears the text.
    An answer that is no `Match`, such as the one to an empty row, has found nothing.
    """
    texts_of, images_of = defaultdict(set), defaultdict(set)
    for row in rows:
        texts_of[row.fields["image"]].add(row.target[0])
        images_of[row.target[0]].add(row.fields["image"])
    table = np.zeros((len(rows), _COUNT + 1))
    table[:, _COUNT] = 1
    for index, (answer, row) in enumerate(zip(answers, rows, strict=True)):
        if isinstance(answer, Match):
            table[index, : len(DEPTHS)] = _found(answer.texts, texts_of[row.fields["image"]])
            table[index, len(DEPTHS) : _COUNT] = _found(answer.images, images_of[row.target[0]])
    return table


def recall_measures() -> tuple[Measure, ...]:
    """Over what `hits` gives: the mean of all recalls, then recall@k from image to text and from text to image.

    Source: Faghri et al. 2018, VSE++; the mean is what Chinese-CLIP (Yang et al. 2022) ranks models by.
    """
    mean = Measure("mean_recall", "平均召回率", "mean recall", _mean)
    to_text = [
        Measure(f"image_to_text_{k}", f"以图找文 R@{k}", f"image to text R@{k}", mean_of(column, _COUNT))
        for column, k in enumerate(DEPTHS)
    ]
    to_image = [
        Measure(f"text_to_image_{k}", f"以文找图 R@{k}", f"text to image R@{k}", mean_of(len(DEPTHS) + column, _COUNT))
        for column, k in enumerate(DEPTHS)
    ]
    return (mean, *to_text, *to_image)


def _mean(sums: Floats) -> Floats:
    return np.asarray(sums[..., :_COUNT].mean(axis=-1) / np.maximum(sums[..., _COUNT], 1))


def _found(ranking: Sequence[str], right: set[Any]) -> list[bool]:
    return [not right.isdisjoint(ranking[:depth]) for depth in DEPTHS]


def _firsts(keys: Sequence[str]) -> dict[str, int]:
    """Every different key, and where it stands first."""
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    return first


def _ranked(queries: Vectors, keys: Vectors) -> Ints:
    """Indices of the best keys for each query, best first, shape (queries, at most the deepest of `DEPTHS`)."""
    return np.concatenate(list(_ranked_chunks(queries, keys)))


def _ranked_chunks(queries: Vectors, keys: Vectors) -> Iterator[Ints]:
    for start in range(0, len(queries), _CHUNK):
        scores = queries[start : start + _CHUNK] @ keys.T
        yield np.argsort(-scores, axis=1, kind="stable")[:, : DEPTHS[-1]]
