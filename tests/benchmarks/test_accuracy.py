"""The accuracy benchmark: it resumes, its samples are fair and leak-free, and its table says what the results say."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import corpora
import numpy as np
import pytest
import results
import run
import table
import transfer
import work
from results import Result, packed

from qingtiao.data.duplicates import near_matches
from qingtiao.models.base import load_base
from qingtiao.types import Place, Row

GOOD, BAD = "好香甜鲜美棒赞快暖", "坏臭苦腥差糟慢冷脏"


def made_up(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Texts of random characters; three in four are good. Half of each draw on the characters of their class."""
    rng = random.Random(seed)
    common = [chr(code) for code in range(0x4E00, 0x4E00 + 500)]
    labelled = ((label, GOOD if label == "1" else BAD) for label in rng.choices("110" + "1", k=count))
    return [("".join(rng.choices(common, k=8) + rng.choices(own, k=8)), label) for label, own in labelled]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A folder with chnsenticorp alone: 150 train rows, among them copies and near-copies of test rows."""
    folder = tmp_path / "data"
    (folder / "chnsenticorp").mkdir(parents=True)
    test, dev = made_up(40, seed=1), made_up(20, seed=2)
    leaked = [test[0], dev[0], (test[1][0] + "呀", test[1][1])]
    fresh = made_up(145, seed=3)
    for name, rows in (("train", [*fresh, *fresh[:2], *leaked]), ("dev", dev), ("test", test)):
        lines = ["label\ttext_a", *(f"{label}\t{text}" for text, label in rows)]
        (folder / "chnsenticorp" / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpora.prepare.cache_clear()
    yield folder
    corpora.prepare.cache_clear()


def result(method: str, seed: int, right: list[int], *, size: corpora.Size = 100, base: str = "") -> Result:
    correct = packed(np.array(right, dtype=np.bool_))
    share = sum(right) / len(right)
    return Result("waimai", method, size, seed, base, "", share, share, len(right), 100, 0.0, "", correct)


def test_no_training_row_resembles_a_test_row(data: Path) -> None:
    rows = corpora.prepare("chnsenticorp", data)
    assert len(rows.train) == 145  # without two copies and three leaks
    assert len(rows.test) == 40 - 2  # clean: the two that train rows give away are not scored
    matches = near_matches([row.text for row in rows.train], [row.text for row in rows.test], threshold=0.5)
    assert matches == [None] * 145


def test_an_undivided_set_is_divided_once(tmp_path: Path) -> None:
    lines = ["label,review", *(f"{label},{text}" for text, label in made_up(60, seed=4))]
    (tmp_path / "waimai_10k.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    first = corpora.prepare("waimai", tmp_path)
    corpora.prepare.cache_clear()
    assert corpora.prepare("waimai", tmp_path) == first
    assert (len(first.train), len(first.dev), len(first.test)) == (42, 6, 12)


def test_samples_are_stratified_seeded_and_nested() -> None:
    rows = [Row(text, label, Place("made up", n)) for n, (text, label) in enumerate(made_up(3000, seed=5))]
    drawn = {size: corpora.subset(rows, size, seed=0) for size in (100, 500, 1000)}
    share = Counter(row.target for row in rows)["1"] / len(rows)
    for size, chosen in drawn.items():
        assert len(chosen) == size
        assert Counter(row.target for row in chosen)["1"] == pytest.approx(size * share, abs=1.5)
    places = {size: {row.place for row in chosen} for size, chosen in drawn.items()}
    assert places[100] < places[500] < places[1000]
    assert corpora.subset(rows, 100, seed=0) == drawn[100] != corpora.subset(rows, 100, seed=1)
    assert corpora.subset(rows, "all", seed=0) == rows


def test_a_second_call_makes_only_what_is_missing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, docs = tmp_path / "results.jsonl", tmp_path / "accuracy.md"
    docs.write_text(f"before\n{table.BEGIN}\n{table.END}\nafter\n", encoding="utf-8")
    for method in ("majority", "tfidf"):
        one = results.Run("chnsenticorp", method, 100, 0, "", "")
        results.append(file, work.carry_out_one(one, work.Setting(data, "", "fp32")))
    first = file.read_bytes()
    with file.open("ab") as torn:
        torn.write(first[:50])
    call = ["--data", str(data), "--results", str(file), "--docs", str(docs), "--only", "chnsenticorp"]
    run.main([*call, "--methods", "majority", "tfidf", "--sizes", "100", "--seeds", "0", "1"])
    told = capsys.readouterr().out
    assert "torn" in told and "2 项要跑，2 项已有" in told
    assert file.read_bytes().startswith(first)
    found = list(results.read(file))
    assert [(r.method, r.seed) for r in found] == [("majority", 0), ("tfidf", 0), ("majority", 1), ("tfidf", 1)]
    assert all(r.accuracy == r.right().mean() and (r.n, r.rows) == (38, 100) for r in found)
    page = docs.read_text(encoding="utf-8")
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "### chnsenticorp" in page


def test_nothing_is_begun_after_the_deadline(data: Path) -> None:
    setting = work.Setting(data, "", "fp32")
    runs = work.plan_runs(["chnsenticorp"], ["majority"], [100], [0], fingerprint="", settings={})
    assert len(runs) == 1
    assert list(work.carry_out(runs, setting, workers=1, deadline=0)) == []


def test_workers_end_with_a_parent_that_was_killed() -> None:
    outlive = "print('at work', flush=True); import time; time.sleep(20); print('outlived it', flush=True)"
    begin = f'from workers import worker_pool; worker_pool(1).submit(exec, "{outlive}").result()'
    folder = Path(work.__file__).parent
    with subprocess.Popen([sys.executable, "-c", begin], cwd=folder, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"at work\n"
        parent.kill()
        assert parent.stdout.readline() == b""


def test_small_runs_come_first_and_each_method_is_known_by_what_it_depends_on() -> None:
    runs = work.plan_runs(
        list(corpora.CORPORA),
        ["tfidf", "snownlp", "lora"],
        ["all", 100],
        [0, 1],
        fingerprint="abc",
        settings={"lora": "def"},
    )
    assert len(runs) == 2 * 2 * 2 * 5 + 3  # SnowNLP knows polarity only, and learns nothing
    ranks = [float("inf") if r.size == "all" else r.size for r in runs]
    assert ranks == sorted(ranks) and [r.method for r in runs[:3]] == ["snownlp"] * 3
    assert {(r.method, r.base, r.settings) for r in runs} == {
        ("tfidf", "", ""),
        ("snownlp", "", ""),
        ("lora", "abc", "def"),
    }


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_is_trained_by_the_project_itself(method: str, data: Path, tiny_base: str) -> None:
    one = results.Run("chnsenticorp", method, 100, 0, "abc", "def")
    got = work.carry_out_one(one, work.Setting(data, tiny_base, "fp32"))
    assert got.run == one and (got.rows, got.n) == (100, 38)
    assert got.right().mean() == got.accuracy >= 0.5


def test_the_fingerprint_is_that_of_the_base(tiny_base: str) -> None:
    fingerprint, _, precision = run.facts_of(tiny_base)
    loaded = load_base(
        tiny_base,
        revision=None,
        auto_class="AutoModelForSequenceClassification",
        model_options={"num_labels": 3},
    )
    assert loaded.fingerprint.startswith(fingerprint) and len(fingerprint) == 16
    assert precision in ("fp32", "bf16")


def test_the_table_shows_means_intervals_and_the_difference() -> None:
    tfidf = [result("tfidf", seed, [1] * 50 + [0] * 50) for seed in range(5)]
    old = [result("lora", seed, [0] * 100, base="old") for seed in range(5)]
    lora = [result("lora", seed, [1] * 90 + [0] * 10, base="new") for seed in (0, 1)]
    text = table.render([*tfidf, *old, *lora])
    assert "base fingerprint: new" in text
    (shown,) = (line for line in text.splitlines() if line.startswith("| lora"))
    # Alike in all seeds, so rows alone vary: 90 ± 1.96 * sqrt(0.9 * 0.1 / 100) = 84.1 to 95.9.
    assert shown == "| lora | 90.0 [84.0, 96.0] (seeds: 2) |  |  |  |"
    (shown,) = (line for line in text.splitlines() if line.startswith("| tfidf"))
    assert shown == "| tfidf | 50.0 [40.0, 60.0] |  |  |  |"
    # The difference is 1 on 40 rows of 100: 40 ± 1.96 * sqrt(0.4 * 0.6 / 100) = 30.4 to 49.6.
    assert "100: +40.0 [+31.0, +50.0], 胜 ahead, 两区间不相交 intervals apart." in text


def test_seeds_widen_the_interval() -> None:
    """Each row is right in one of two seeds: 0.5 and 0.5 differ from 1 and 0, where the seed is all that counts."""
    alike = table.bootstrap(np.array([[1, 0] * 50, [0, 1] * 50], dtype=np.int8))
    unlike = table.bootstrap(np.array([[1] * 100, [0] * 100], dtype=np.int8))
    assert alike.mean == unlike.mean == 0.5
    assert unlike.interval == (0, 1)
    assert 0.38 < alike.interval.low < alike.interval.high < 0.62


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    docs = tmp_path / "accuracy.md"
    docs.write_text("no markers", encoding="utf-8")
    with pytest.raises(SystemExit, match="markers"):
        table.write(tmp_path / "none.jsonl", docs)
    assert docs.read_text(encoding="utf-8") == "no markers"


def test_without_data_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("QINGTIAO_BENCHMARK_DATA", raising=False)
    run.main([])
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("emotions", "side"),
    [
        (["happy"], "正面"),
        (["happiness", "surprise"], "正面"),
        (["sad"], "负面"),
        (["anger", "sadness"], "负面"),
        (["happiness", "sadness"], None),
        (["fear"], None),
        ([], None),
    ],
)
def test_emotions_have_a_side(emotions: list[str], side: str | None) -> None:
    assert transfer.side_of(emotions) == side
