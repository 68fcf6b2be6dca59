"""The recipe of the embedded base: what it refuses to read, what it learns from, and that a run can be resumed."""

from __future__ import annotations

import json
import lzma
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pretrain_mini_zh
import pytest
import torch
from mini_zh import lexicon
from mini_zh.batches import PROSE, Batches
from mini_zh.corpus import HeldOut, evaluation_texts, uncontaminated
from mini_zh.model import Pretraining, encoder_config
from mini_zh.tokens import CLS, MASK, SEP

from qingtiao.data.duplicates import near_matches

HELD_OUT = "这家酒店的早餐品种不多，不过前台很客气，退房也快"
REVIEWS = [
    f"第{i}次来这家店，{taste}，{service}，下回再说吧"
    for i in range(12)
    for taste in ("牛肉面很好吃", "豆浆又酸又难喝", "包子皮太厚")
    for service in ("老板热情周到", "等了半个钟头没人管", "桌子擦得干净")
]
STORY = "清早起来下了一场小雨，孩子们背着书包往学校走，路上遇见卖豆浆的老人，大家都高兴地打招呼。" * 12


def packed(folder: Path, name: str, texts: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.txt.xz"
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("".join(text.replace("\n", "␤") + "\n" for text in texts))
    return path


@pytest.fixture
def held_out() -> HeldOut:
    return HeldOut(iter([HELD_OUT, "好吃不贵"]))


@pytest.mark.parametrize(
    "copy",
    [
        HELD_OUT,
        HELD_OUT.replace("，", ","),
        f"前几天出差。{HELD_OUT[2:]}！！！推荐",
        "这 家 酒 店 的 早 餐 品 种 不 多 不 过 前 台 很 客 气",
        "好吃，不贵！",
    ],
)
def test_a_copy_of_held_out_text_is_found_under_other_punctuation_and_inside_more_text(
    held_out: HeldOut, copy: str
) -> None:
    assert held_out.holds(copy)


@pytest.mark.parametrize("other", ["这家酒店的早餐品种很多", "好吃不贵，还会来", "", "隔壁" * 30])
def test_text_that_only_resembles_held_out_text_is_kept(held_out: HeldOut, other: str) -> None:
    assert not held_out.holds(other)


def test_dropped_documents_are_counted_and_training_rows_are_not_held_out(tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    (evaluation / "test.tsv").write_text(f"label\ttext_a\n1\t{HELD_OUT}\n", encoding="utf-8")
    (evaluation / "train.tsv").write_text(f"label\ttext_a\n1\t{REVIEWS[0] * 3}\n", encoding="utf-8")
    path = packed(tmp_path, "reviews", [*REVIEWS[:3], f"转：{HELD_OUT}", REVIEWS[0] * 3])
    kept, dropped = uncontaminated(path, HeldOut(evaluation_texts(evaluation)))
    assert dropped == 1
    assert len(kept) == 4


def test_a_near_duplicate_too_short_to_share_a_window_is_dropped(tmp_path: Path) -> None:
    """Twelve characters and a thirteenth: neither is long enough for a window of sixteen, nor are they equal."""
    row, near, far = "前台客气房间也很干净整洁", "前台客气房间也很干净整洁哦", "前台客气但是隔音实在太差"
    held_out = HeldOut(iter([row]))
    assert not held_out.holds(near)
    kept, dropped = uncontaminated(packed(tmp_path, "reviews", [row, near, far]), held_out)
    assert (kept, dropped) == ([far], 2)


@pytest.mark.slow
def test_no_document_kept_is_a_near_duplicate_of_an_evaluation_row() -> None:
    data = os.environ.get("QINGTIAO_BENCHMARK_DATA")
    if not data or not (Path(data) / "pretrain").is_dir():
        pytest.skip("QINGTIAO_BENCHMARK_DATA is not set or holds no pretrain/")
    root = Path(data)
    rows = sorted({text for text in evaluation_texts(root) if len(text) >= 8})
    kept, dropped = uncontaminated(root / "pretrain" / "reviews.txt.xz", HeldOut(evaluation_texts(root)))
    assert dropped > 0
    matches = near_matches(kept, rows, threshold=0.5)
    assert [(kept[i][:80], rows[match][:80]) for i, match in enumerate(matches) if match is not None] == []


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("房间干净，服务周到", 1),
        ("房间破旧，服务恶劣", 0),
        ("房间不干净", 0),
        ("没有异味", -1),
        ("房间干净，早餐难吃", -1),
        ("昨天去的", -1),
    ],
)
def test_polarity_is_known_only_where_every_judging_word_agrees(text: str, side: int) -> None:
    assert lexicon.polarity(text) == side


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared, tiny corpus."""
    root = tmp_path_factory.mktemp("recipe")
    packed(root / "corpus", "reviews", REVIEWS)
    for name in PROSE:
        packed(root / "corpus", name, [STORY, *("".join(REVIEWS[i : i + 9]) for i in range(0, 90, 9))])
    run(root, tokens=0)
    return root


def run(
    root: Path, *, tokens: int, work: str = "work", out: str = "out", start: Path | None = None, export: bool = False
) -> None:
    options = {
        "corpus": root / "corpus",
        "work": root / work,
        "out": root / out,
        **({"start": start} if start else {}),
        "tokens": tokens,
        "batch-tokens": 256,
        "depth": 1,
        "width": 64,
        "vocab": 400,
        "save-every": 0,
    }
    argv = ["pretrain", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv if export else [*argv, "--stop-after", "train"])
        pretrain_mini_zh.main()


def prepared_again(work: Path, name: str) -> None:
    """The prepared corpus once more, as a folder of its own."""
    (work / name).mkdir()
    for path in (work / "work").iterdir():
        if path.name != "checkpoint.pt":
            (work / name / path.name).symlink_to(path)


def test_words_of_feeling_are_hidden_whole_and_told_to_the_pooled_vector(work: Path) -> None:
    batches = Batches(work / "work", 256, 1)
    seen = 0
    for _ in range(60):
        batch = batches.draw()
        whole = torch.where(batch.labels == -100, batch.input_ids, batch.labels)
        feeling = torch.from_numpy(batches.feeling[whole.numpy()])
        for row in range(len(whole)):
            told = batch.feelings[row]
            groups = int(np.bitwise_or.reduce(feeling[row].numpy()))
            if not told.isnan().any():
                assert [int(bit) for bit in told] == [groups >> bit & 1 for bit in range(len(told))]
                assert (batch.input_ids[row][feeling[row] > 0] == MASK).all()
                seen += groups > 0
    assert seen > 20


def follows(ids: list[int], stream: Any) -> bool:
    """Whether `ids` stand in `stream`, one after the other."""
    return np.array(ids, dtype=np.uint16).tobytes() in np.asarray(stream).tobytes()


def test_pairs_are_halves_of_one_passage(work: Path) -> None:
    batches = Batches(work / "work", 256, 2)
    pairs = 0
    for _ in range(40):
        batch = batches.draw()
        whole = torch.where(batch.labels == -100, batch.input_ids, batch.labels)
        for row in range(0, len(whole) - 1, 2):
            if batch.paired[row] and batch.attention_mask is None:
                assert batch.paired[row + 1]
                both = whole[row : row + 2, 1:-1].flatten().tolist()
                assert SEP not in both
                assert whole[row, 0] == whole[row + 1, 0] == CLS
                assert any(follows(both, stream) for name in PROSE for stream in batches.streams[name])
                pairs += 1
    assert pairs > 5


def test_a_run_cut_in_two_ends_with_the_same_weights_and_what_it_ships_loads(work: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    for name in ("whole", "cut"):
        prepared_again(work, name)
    run(work, tokens=4000, work="whole")
    with pytest.MonkeyPatch.context() as patch:
        # Interrupted: the rate is a function of the whole budget, so a smaller one would be another run.
        steps = iter(range(5))
        drawn = Batches.draw
        patch.setattr(Batches, "draw", lambda self: drawn(self) if next(steps, None) is not None else sys.exit())
        patch.setattr(pretrain_mini_zh, "PROBES", 0)
        with pytest.raises(SystemExit):
            run(work, tokens=4000, work="cut")
    run(work, tokens=4000, work="cut", export=True)
    one, other = (torch.load(work / name / "checkpoint.pt", weights_only=True)["model"] for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(tensor.isfinite().all() for tensor in one.values())
    assert all(torch.equal(one[name], other[name]) for name in one)

    model, info = AutoModelForSequenceClassification.from_pretrained(work / "out", output_loading_info=True)
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert not info["unexpected_keys"]
    assert torch.equal(model.head.dense.weight, other["head.dense.weight"].half().float())
    tokenizer = AutoTokenizer.from_pretrained(work / "out")
    ids = tokenizer("牛肉面很好吃。")["input_ids"]
    assert ids[0] == CLS
    assert ids[-1] == SEP
    assert max(ids) < model.config.vocab_size
    table = model.model.embeddings.tok_embeddings.weight
    simple, traditional = tokenizer.convert_tokens_to_ids(["厚", "来"]), tokenizer.convert_tokens_to_ids(["來"])
    assert torch.equal(table[traditional[0]], table[simple[1]])
    record = json.loads((work / "out" / "pretraining.json").read_text(encoding="utf-8"))
    assert record["corpus"]["reviews"]["documents"] == len(REVIEWS)


def test_another_run_goes_on_with_what_an_earlier_one_wrote(work: Path) -> None:
    from safetensors.torch import load_file

    prepared_again(work, "earlier")
    run(work, tokens=2000, work="earlier", out="first", export=True)
    prepared_again(work, "later")
    # Numbered otherwise, as by a corpus that grew; and one piece that the earlier run did not know.
    tokenizer = work / "later" / "tokenizer"
    described = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = described["model"]["vocab"]
    pieces["好"], pieces["吃"] = pieces["吃"], pieces["好"]
    pieces["鑫"] = pieces.pop("皮")
    tokenizer.unlink()
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    run(work, tokens=0, work="later", start=work / "first")

    first = load_file(work / "first" / "model.safetensors")
    later = torch.load(work / "later" / "checkpoint.pt", weights_only=True)["model"]
    table, known = later["encoder.embeddings.tok_embeddings.weight"], pretrain_mini_zh.vocabulary(work / "first")
    for piece in ("好", "吃", "的", "[MASK]"):
        row = first["model.embeddings.tok_embeddings.weight"][known[piece]].float()
        assert torch.equal(table[pieces[piece]], row), piece
    fresh = torch.from_numpy(np.load(work / "later" / "embeddings.npy"))[pieces["鑫"]]
    assert torch.equal(table[pieces["鑫"]], fresh)
    assert torch.equal(later["head.dense.weight"], first["head.dense.weight"].float())
    assert torch.equal(later["encoder.layers.0.mlp.Wi.weight"], first["model.layers.0.mlp.Wi.weight"].float())
    earlier = json.loads((work / "first" / "pretraining.json").read_text(encoding="utf-8"))
    assert earlier["started_from"] is None
    assert pretrain_mini_zh.described_start(work / "first")["tokens"] == earlier["tokens"] >= 2000


def test_a_token_that_the_counts_never_saw_has_a_finite_loss() -> None:
    """BPE-dropout makes pieces that plain encoding never does."""
    torch.manual_seed(0)
    frequency = torch.ones(50) / 49
    frequency[30] = 0
    model = Pretraining(encoder_config(50, 64, 1), torch.randn(50, 64) * 0.05, frequency)
    loss = model._words(torch.randn(3, 64), torch.tensor([30, 7, 8]))
    assert loss.isfinite()
