"""What a dual encoder is given and taught: transformers' own loss, texts once each, equal texts never taught apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import save_architecture

from qingtiao.models.base import load_base
from qingtiao.types import Place, Row
from qingtiao.vision.pairs import (
    collate_pairs,
    encode_pairs,
    image_side,
    pair_loss,
    pair_outputs,
    paired_cross_entropy,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_architecture("chinese_clip", tmp_path_factory.mktemp("clip"), texts=["红绿蓝黄紫色的圆方块三角"])
    return load_base(folder, revision=None, auto_class="AutoModel", processor_class="AutoProcessor", model_options={})


def rows_of(*captions: str | None) -> list[Row]:
    from qingtiao.tasks.image_text import Task

    images = [sample["image"] for sample in Task.samples]
    return [
        Row(f"{i}", None, Place("memory", i), {"image": images[i * 5], "caption": caption})
        for i, caption in enumerate(captions)
    ]


def batch_of(base: Any, rows: list[Row], candidates: list[list[str]]) -> dict[str, torch.Tensor]:
    return collate_pairs(encode_pairs(rows, candidates, base.tokenizer, max_length=16), base.tokenizer)


def test_the_loss_is_that_of_transformers(base: Any) -> None:
    batch = batch_of(base, rows_of("红色的圆", "绿色的方块", "蓝色"), [[], [], []])
    with torch.inference_mode():
        ours = pair_loss(base.model.eval(), batch, label_weight=1.0)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")}
        theirs = base.model(**inputs, return_loss=True).loss
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


def test_equal_texts_share_the_target() -> None:
    same = torch.tensor([0, 0, 2])
    sure = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    apart = float(paired_cross_entropy(sure, torch.tensor([0, 1, 2])))
    shared = float(paired_cross_entropy(sure, same))
    assert shared == pytest.approx(apart, abs=1e-4)  # half the mass on either is as good as it gets
    unsure = torch.tensor([[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    assert float(paired_cross_entropy(unsure, torch.tensor([0, 1, 2]))) < 1e-6
    assert float(paired_cross_entropy(unsure, same)) > 1


def test_candidates_stand_in_the_batch_once_and_each_row_picks_its_own(base: Any) -> None:
    rows = rows_of("红色的圆", "绿色的方块", "红色的圆")
    batch = batch_of(base, rows, [["圆", "方块"], ["方块", "三角", "圆"], ["圆", "方块"]])
    assert len(batch["input_ids"]) == 3 + 3
    assert batch["picked"].tolist() == [[3, 4, -1], [4, 5, 3], [3, 4, -1]]
    assert batch["same"].tolist() == [0, 1, 0]
    with torch.inference_mode():
        outputs = pair_outputs(base.model.eval(), batch)
    assert [len(output) for output in outputs] == [2 * 16 + 2, 2 * 16 + 3, 2 * 16 + 2]
    images, texts = np.stack([o[:16] for o in outputs]), np.stack([o[16:32] for o in outputs])
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    scale = float(base.model.logit_scale.detach().exp())
    assert np.allclose(np.linalg.norm(images, axis=1), scale, rtol=1e-4)


def test_images_without_texts_are_compared_with_their_candidates_alone(base: Any) -> None:
    rows = rows_of(None, None)
    both = batch_of(base, rows, [["圆", "方块"], ["三角", "圆", "方块"]])
    assert "same" not in both
    with torch.inference_mode():
        together = pair_outputs(base.model.eval(), both)
        alone = pair_outputs(base.model, batch_of(base, rows[1:], [["三角", "圆", "方块"]]))
    assert [len(output) for output in together] == [2, 3]
    assert np.allclose(together[1], alone[0], atol=1e-5)


def test_the_label_weighs_in_as_much_as_asked(base: Any) -> None:
    rows = rows_of("红色的圆", "绿色的方块")
    features = encode_pairs(rows, [["圆", "方块"]] * 2, base.tokenizer, max_length=16)
    for feature, label in zip(features, (0, -100), strict=True):
        feature["labels"] = label
    batch = collate_pairs(features, base.tokenizer)
    assert batch["labels"].tolist() == [0, -100]
    with torch.inference_mode():
        none, once, twice = (float(pair_loss(base.model.eval(), batch, label_weight=w)) for w in (0.0, 1.0, 2.0))
    assert once > none
    assert twice - none == pytest.approx(2 * (once - none), abs=1e-5)


def test_features_tell_what_they_cost_and_what_was_cut(base: Any) -> None:
    (short, long) = encode_pairs(rows_of("圆", "圆" * 50), [[], []], base.tokenizer, max_length=16)
    assert not short.get("cut") and long["cut"]
    assert image_side(base.tokenizer) == 16
    assert short["cost"] == 1 + len(short["input_ids"]) + 1


def test_pixels_are_read_when_the_batch_is_made(base: Any, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "a.png"
    Image.new("RGB", (30, 50), (255, 0, 0)).save(path)
    row = Row("a.png", None, Place("memory", 1), {"image": str(path), "caption": "圆"})
    features = encode_pairs([row], [[]], base.tokenizer, max_length=16)
    assert not any(isinstance(value, torch.Tensor) for value in features[0].values())
    assert collate_pairs(features, base.tokenizer)["pixel_values"].shape == (1, 3, 16, 16)
