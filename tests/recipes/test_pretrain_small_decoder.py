"""The recipe of the small decoder: what it reads, what it learns, and that the folder it makes is a base."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pretrain_small_decoder as recipe
import pytest
import torch

from qingtiao.models.base import load_base
from qingtiao.models.chat_template import ChatFormat

HELD_OUT = "这家酒店的早餐品种不多，不过前台很客气，退房也快"
STORY = "清早起来下了一场小雨，孩子们背着书包往学校走，路上遇见卖豆浆的老人，大家都高兴地打招呼。" * 4


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    corpus, evaluation = tmp_path / "corpus", tmp_path / "evaluation"
    corpus.mkdir()
    evaluation.mkdir()
    for name in recipe.MIXTURE:
        with lzma.open(corpus / f"{name}.txt.xz", "wt", encoding="utf-8") as file:
            file.write(f"{HELD_OUT}\n{STORY}\n" * 8)
    (evaluation / "test.tsv").write_text(f"1\t{HELD_OUT}\n", encoding="utf-8")
    return corpus, evaluation


def test_from_text_to_a_base_that_talks(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, evaluation = folders
    out = tmp_path / "out"
    sizes = ["--tokens", "1500", "--layers", "1", "--length", "16", "--batch", "4", "--lr", "0.003"]
    command = ["recipe", "--corpus", str(corpus), "--evaluation", str(evaluation), "--out", str(out), *sizes]
    monkeypatch.setattr("sys.argv", command)
    recipe.main()
    assert "tokens/s" in capsys.readouterr().out
    curve = json.loads((out / "pretraining.json").read_text(encoding="utf-8"))["loss_curve"]
    assert curve[0]["loss"] > curve[-1]["loss"] > 0
    base = load_base(str(out), revision=None, auto_class="AutoModelForCausalLM", model_options={})
    assert not base.fresh
    chat = ChatFormat(base.tokenizer, thinking=False)
    told = base.tokenizer.decode(chat.reply("今天天气很好"), skip_special_tokens=True)
    assert told == "今天天气很好"  # no spaces between the words


def test_held_out_text_is_not_read(folders: tuple[Path, Path]) -> None:
    words, _ = recipe.words_of_mini_zh()
    held_out = recipe.HeldOut(recipe.evaluation_texts(folders[1]))
    texts = [text for text in recipe.documents(folders[0] / "tech.txt.xz") if not held_out.holds(text)]
    assert len(texts) == 8
    stream = recipe.stream_of(words, iter(texts), tokens=100)
    assert len(stream) == 100
    assert words.decode(stream[:8]) == STORY[:10]


def test_the_loss_is_that_of_the_next_token() -> None:
    class Words:
        pad_token_id, cls_token_id, sep_token_id = 0, 2, 3

    model = recipe.small_decoder(Words(), torch.randn(40, 32) * 0.3, layers=1, seed=1).eval()
    rows = torch.from_numpy(np.random.default_rng(1).integers(4, 40, (3, 12)))
    with torch.inference_mode():
        every = recipe.next_token_loss(model, rows, torch.arange(11))
        assert float(every) == pytest.approx(float(model(input_ids=rows, labels=rows).loss), abs=1e-5)
