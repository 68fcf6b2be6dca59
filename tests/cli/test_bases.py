"""`qingtiao bases`, and the presets that `qingtiao train` applies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import labelled_texts, write_csv

from qingtiao.cli import main


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    captured = capsys.readouterr()
    return int(leaving.value.code or 0), captured.out, captured.err


def test_bases_are_listed_smallest_first(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["bases"], capsys)
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 2 * 34
    assert "nghuyong/ernie-3.0-nano-zh" in lines[0]
    assert "18M" in lines[0]
    assert "Qwen/Qwen3-VL-8B-Instruct" in lines[-2]
    assert "8.8B" in lines[-2]


def listed_for(task: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    _, out, _ = run(["bases", "--task", task, "--json"], capsys)
    listed: list[dict[str, Any]] = json.loads(out)
    assert all(task in entry["tasks"] for entry in listed)
    return listed


def test_bases_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """Retrieval and captions want different bases of images and text."""
    (clip,) = listed_for("image_text", capsys)
    assert clip["name"] == "chinese-clip-vit-base-patch16"
    assert clip["settings"]["train"]["batch_size"] == 64
    captions = listed_for("image_caption", capsys)
    assert len(captions) == 5
    assert {entry["model_type"] for entry in captions} == {"qwen2_5_vl", "qwen3_vl"}
    sizes = [entry["parameters"] for entry in captions]
    assert sizes == sorted(sizes)


def start(folder: Path, *more: str) -> list[str]:
    data = write_csv(folder / "a.csv", labelled_texts())
    return ["train", "--data", str(data), "--out", str(folder / "out"), *more]


def stored(folder: Path) -> dict[str, dict[str, object]]:
    values: dict[str, dict[str, object]] = yaml.safe_load((folder / "out" / "config.yaml").read_text(encoding="utf-8"))
    return values


def test_a_run_says_which_preset_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("adapter: {r: 4}\ntrain: {batch_size: 8}\n", encoding="utf-8")
    more = (
        "--base",
        "hfl/rbt3",
        "--config",
        str(config),
        "--set",
        "train.batch_size=4",
        "--set",
        "train.precision=fp32",
    )
    code, _, told = run(start(tmp_path, *more), capsys)
    assert code == 3, told  # the Hub is out of reach here; what it was about to do is stored
    assert "用 rbt3 的预设" in told
    assert "train.learning_rate=0.0005" in told
    assert "batch_size" not in told
    values = stored(tmp_path)
    assert values["train"]["learning_rate"] == 5e-4
    assert values["train"]["batch_size"] == 4
    assert values["adapter"]["r"] == 4
    assert values["adapter"]["alpha"] == 16


def test_a_folder_takes_the_preset_that_is_asked_for(
    tmp_path: Path, tiny_base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fails on purpose once the config is stored: no such layers in this base.
    more = ("--base", tiny_base, "--set", "adapter.target_modules=[no_such_layer]", "--set", "train.precision=fp32")
    code, _, told = run(start(tmp_path, *more), capsys)
    assert (code, "预设" in told) == (2, False)
    assert stored(tmp_path)["train"]["learning_rate"] == "auto"
    code, _, told = run(start(tmp_path, *more, "--preset", "rbt3"), capsys)
    assert (code, "用 rbt3 的预设" in told) == (2, True)
    assert stored(tmp_path)["train"]["learning_rate"] == 5e-4
    assert stored(tmp_path)["base"]["name"] == tiny_base


def test_an_unknown_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, told = run(start(tmp_path, "--preset", "rbt4"), capsys)
    assert code == 2
    assert "rbt3" in told
    assert "qingtiao bases" in told
