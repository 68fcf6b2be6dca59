"""`qingtiao train` as people and scripts call it: what it leaves, and what survives when it is cut off."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tiny import labelled_texts, wait_for_step, write_csv

from qingtiao.cli import main
from qingtiao.data.sources import load_split

SETTINGS = ["--set", "train.epochs=4", "--set", "train.learning_rate=0.005", "--set", "train.batch_size=8"]


def arguments(folder: Path, base: str, *more: str, out: str = "out") -> list[str]:
    data = folder / "data.csv"
    if not data.exists():
        write_csv(data, labelled_texts())
    settings = [*SETTINGS, "--set", "base.max_length=32"]
    return ["train", "--data", str(data), "--base", base, "--out", str(folder / out), *settings, *more]


def call(*args: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard output."""
    try:
        main(list(args))
    except SystemExit as leaving:
        return int(leaving.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


def adapter_hash(out: Path) -> str:
    return hashlib.sha256((out / "bundle" / "adapter_model.safetensors").read_bytes()).hexdigest()


def check_block(block: dict[str, Any]) -> None:
    assert block["n"] > 0
    low, high = block["accuracy_ci"]
    assert 0 <= low <= block["accuracy"] <= high <= 1
    assert 0 <= block["macro_f1"] <= 1


def test_what_scripts_rely_on(tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = call(*arguments(tmp_path, tiny_base, "--json"), capsys=capsys)
    assert code == 0
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert json.loads(told) == report
    for where in (report, report["baselines"]["tfidf"], report["baselines"]["majority"]):
        check_block(where["test"])
        check_block(where["clean_test"])
    assert 0 < report["trainable_share"] < 1
    assert report["seconds"] > 0
    assert report["verdict"]["code"] in {"adapter_better", "tie", "baseline_better"}
    events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["phase", "proved"]
    assert sum(event["event"] == "evaluated" for event in events) == 4
    assert list((out / "tensorboard").glob("events.out.tfevents.*"))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")

    code, told = call("evaluate", str(out / "bundle"), str(tmp_path / "data.csv"), "--json", capsys=capsys)
    assert code == 0
    check_block(json.loads(told))
    assert json.loads(told)["n"] == 120

    answers = tmp_path / "answers.jsonl"
    files = ["--input", str(tmp_path / "data.csv"), "--output", str(answers)]
    code, told = call("predict", str(out / "bundle"), *files, "--json", capsys=capsys)
    assert (code, json.loads(told)["rows"]) == (0, 120)
    rows = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == [text for text, _ in labelled_texts()]
    for row in rows:
        assert row["label"] in row["probabilities"]
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["input_label"] in {"好", "坏"}


def test_the_same_run_twice_gives_the_same_adapter(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in ("one", "two"):
        assert call(*arguments(tmp_path, tiny_base, out=out), capsys=capsys)[0] == 0
    assert adapter_hash(tmp_path / "one") == adapter_hash(tmp_path / "two")


def test_a_folder_with_a_run_is_not_overwritten_by_accident(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments(tmp_path, tiny_base), capsys=capsys)[0] == 0
    (tmp_path / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    before = adapter_hash(tmp_path / "out")
    assert call(*arguments(tmp_path, tiny_base), capsys=capsys)[0] == 2
    assert call("train", "--resume", "--out", str(tmp_path / "out"), capsys=capsys)[0] == 2
    assert adapter_hash(tmp_path / "out") == before
    assert call(*arguments(tmp_path, tiny_base, "--overwrite", "--seed", "5"), capsys=capsys)[0] == 0
    assert adapter_hash(tmp_path / "out") != before
    assert (tmp_path / "out" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_another_process_in_the_folder_is_told_so(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        assert call(*arguments(tmp_path, tiny_base), capsys=capsys)[0] == 2
    assert call(*arguments(tmp_path, tiny_base), capsys=capsys)[0] == 0


def test_a_corrected_call_needs_no_other_folder(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = arguments(tmp_path, tiny_base, "--label-column", "typo")
    assert call(*wrong, capsys=capsys)[0] == 2
    assert call(*arguments(tmp_path, tiny_base), capsys=capsys)[0] == 0


def test_bf16_training_is_proved_in_fp32(tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The precision of training must not stay on the model that is scored and proved."""
    code, _ = call(*arguments(tmp_path, tiny_base, "--set", "train.precision=bf16"), capsys=capsys)
    assert code == 0
    assert (tmp_path / "out" / "bundle" / "qingtiao.json").is_file()


def test_clean_training_says_what_it_dropped(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", [*labelled_texts(), ("很好吃", "坏"), ("真棒！", "好"), ("", "好")])
    code, told = call(*arguments(tmp_path, tiny_base, "--clean", "--json"), capsys=capsys)
    assert code == 0
    audit = json.loads(told)["audit"]
    assert audit["exact_duplicates"]["train"] == 2
    assert audit["label_conflicts"] == 1
    assert data.read_text(encoding="utf-8").count("\n") == 124


def start(args: list[str]) -> subprocess.Popen[str]:
    code = "import sys; from qingtiao.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_ctrl_c_saves_and_says_how_to_go_on(tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments(tmp_path, tiny_base, out="whole"), capsys=capsys)[0] == 0
    process = start(arguments(tmp_path, tiny_base))
    wait_for_step(tmp_path / "out", 9, process)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert f"qingtiao train --resume --out {tmp_path / 'out'}" in told.replace("\n", "")
    assert list((tmp_path / "out" / "checkpoints").glob("step-*"))
    assert call("train", "--resume", "--out", str(tmp_path / "out"), capsys=capsys)[0] == 0
    assert adapter_hash(tmp_path / "out") == adapter_hash(tmp_path / "whole")
    steps = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    numbers = [event["step"] for event in steps if event["event"] == "step"]
    assert numbers == list(range(1, numbers[-1] + 1))


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints every step; killed 10 times at moments of all kinds, also while a checkpoint is written."""
    often = ["--set", "train.checkpoint_seconds=0", "--set", "train.epochs=8"]
    assert call(*arguments(tmp_path, tiny_base, *often, out="whole"), capsys=capsys)[0] == 0
    rng = random.Random(20261123)
    for number in range(10):
        out = f"out{number}"
        process = start(arguments(tmp_path, tiny_base, *often, out=out))
        wait_for_step(tmp_path / out, rng.randint(1, 90), process)
        time.sleep(rng.random() * 0.05)
        process.kill()
        process.communicate()
        assert not (tmp_path / out / "bundle").exists()
        assert call("train", "--resume", "--out", str(tmp_path / out), capsys=capsys)[0] == 0
        assert adapter_hash(tmp_path / out) == adapter_hash(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE is a thing of Unix")
def test_a_full_disk_leaves_the_last_checkpoint(
    tiny_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on file size stands in for a full disk: the same error path (EFBIG beside ENOSPC)."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from qingtiao.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments(tmp_path, tiny_base, "--set", "train.checkpoint_seconds=0")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "磁盘满了" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "bundle").exists()
    assert not list((tmp_path / "out" / "checkpoints").glob("step-*"))
    assert call("train", "--resume", "--out", str(tmp_path / "out"), capsys=capsys)[0] == 0


def test_the_embedded_reviews_pass_their_own_audit(capsys: pytest.CaptureFixture[str]) -> None:
    """And hold what their data card says of them."""
    code, told = call("audit", "embedded:reviews", "--json", capsys=capsys)
    assert code == 0
    report = json.loads(told)
    assert report["rows"] == {"train": 5228, "dev": 304, "test": 544}
    assert [finding for finding in report["findings"] if finding["severity"] != "info"] == []
    assert set(report["near_leaks"].values()) == {0}
    splits = {
        split: [record.fields for record in load_split("embedded:reviews", split=split)]
        for split in ("train", "dev", "test")
    }
    rows = [*splits["train"], *splits["dev"], *splits["test"]]
    assert {row["domain"] for row in rows} == {
        "hotel", "food", "books", "electronics", "film", "clothing", "apps", "travel", "posts",
    }  # fmt: skip
    lengths = [len(row["text"]) for row in rows]
    assert (min(lengths), max(lengths)) == (4, 159)
    assert sum(row["label"] == "正面" for row in rows) * 2 == len(rows)
    for judged in (splits["dev"], splits["test"]):
        counts = Counter((row["domain"], row["label"]) for row in judged)
        assert all(counts[domain, "正面"] == counts[domain, "负面"] for domain, _ in counts)
