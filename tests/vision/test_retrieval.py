"""Recall both ways by hand, ties of texts and images, and the cheap rival that looks at colours."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from qingtiao.answers import Prediction
from qingtiao.types import Place, References, Row
from qingtiao.vision.lookalikes import Lookalikes, commonest
from qingtiao.vision.retrieval import hits, matches, recall_measures


def rows_of(*pairs: tuple[str, str]) -> list[Row]:
    return [
        Row(image, References((caption,)), Place("memory", i), {"image": image, "caption": caption})
        for i, (image, caption) in enumerate(pairs)
    ]


def recalls(rows: list[Row], images: np.ndarray, texts: np.ndarray) -> dict[str, float]:
    found = hits(matches(rows, images.astype(np.float32), texts.astype(np.float32), None), rows)
    return {one.name: float(one.value(found)) for one in recall_measures()}


def test_perfect_and_shifted_embeddings() -> None:
    rows = rows_of(*((f"{i}.png", f"文{i}") for i in range(12)))
    eye = np.eye(12)
    assert set(recalls(rows, eye, eye).values()) == {1.0}
    # Each image is nearest to the next row's text, then to the one after that ...; its own comes fifth.
    wheel = sum(w * np.roll(eye, k, axis=1) for k, w in ((1, 5), (2, 4), (3, 3), (4, 2), (0, 1)))
    told = recalls(rows, wheel, eye)
    assert told["image_to_text_1"] == 0 and told["image_to_text_5"] == told["image_to_text_10"] == 1
    assert told["text_to_image_1"] == 0 and told["text_to_image_5"] == 1
    assert told["mean_recall"] == pytest.approx(4 / 6)


def test_every_caption_of_an_image_and_every_image_of_a_caption_is_right() -> None:
    rows = rows_of(("a.png", "猫"), ("b.png", "猫"), ("c.png", "狗"), ("c.png", "小狗"))
    texts = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    images = np.array([[1, 0, 0], [1, 0.1, 0], [0, 0.5, 1], [0, 0.5, 1]])
    found = matches(rows, images.astype(np.float32), texts.astype(np.float32), None)
    assert found[0].texts == ("猫", "小狗", "狗") or found[0].texts == ("猫", "狗", "小狗")
    assert len(found[0].images) == 3
    assert found[2].texts[0] == "小狗"
    told = {one.name: float(one.value(hits(found, rows))) for one in recall_measures()}
    assert told["image_to_text_1"] == told["text_to_image_1"] == 1


def test_an_answer_of_another_kind_has_found_nothing() -> None:
    rows = rows_of(("a.png", "猫"))
    (table,) = hits([Prediction("猫", {"猫": 1.0})], rows)
    assert table.tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_an_answer_is_json_and_one_line() -> None:
    rows = rows_of(("data:,x", "猫"), ("b.png", "狗"))
    (first, second) = matches(rows, np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), ["宠物", "狗"])
    assert first.headline == "宠物 · 猫" and second.headline == "狗"
    assert first.as_json()["images"][0].startswith("image-")
    assert first.as_cells() == {"label": "宠物", "texts": "猫|狗", "notice": ""}


def coloured(colour: tuple[int, int, int]) -> str:
    kept = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(kept, "PNG")
    return "data:;base64," + base64.b64encode(kept.getvalue()).decode()


def test_lookalikes_are_the_nearest_in_colour() -> None:
    shades = [(250, 0, 0), (240, 10, 10), (0, 0, 250), (10, 10, 240), (0, 250, 0), (10, 240, 10)]
    known = Lookalikes.fit(rows_of(*((coloured(shade), "x") for shade in shades)))
    nearest = known.nearest(rows_of((coloured((0, 0, 255)), "?"), (coloured((255, 0, 0)), "?")))
    assert nearest[:, :2].tolist() == [[2, 3], [0, 1]]
    assert nearest.shape == (2, 5)
    assert commonest(["甲", "乙", "乙", "甲"]) == "甲"
