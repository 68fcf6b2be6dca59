"""`qingtiao compare`: the same rows for all, a comparison that was cut off goes on, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bases import save_base
from tiny import labelled_texts, write_csv

from qingtiao.cli import main
from qingtiao.config import CompareConfig, parse, read_yaml
from qingtiao.errors import ConfigError, RunError
from qingtiao.events import Entered, Event, Started, Step
from qingtiao.workflows.compare import CompareResult, compare

SHARED = {
    "train": {"epochs": 2, "learning_rate": 0.01, "batch_size": 16, "precision": "fp32"},
    "base": {"max_length": 32},
}
WORDS = {"task": "label_scoring", "task_options": {"prompt": "{text}是{words}？"}}


def config(folder: Path, entries: dict[str, Any], **more: Any) -> CompareConfig:
    data = folder / "data.csv"
    if not data.exists():
        write_csv(data, labelled_texts())
    runs = {
        name: {
            "data": {"train": str(data)},
            "out": str(folder / "out" / name),
            "train": {**SHARED["train"], **entry.get("train", {})},
            "base": {**SHARED["base"], **entry["base"]},
            **{key: value for key, value in entry.items() if key not in ("base", "train")},
            **more,
        }
        for name, entry in entries.items()
    }
    return parse(CompareConfig, {"out": str(folder / "out"), "entries": runs})


def finish(events: Generator[Event, None, CompareResult]) -> tuple[list[Event], CompareResult]:
    seen: list[Event] = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


@dataclass(frozen=True)
class Compared:
    folder: Path
    config: CompareConfig
    events: list[Event]
    result: CompareResult


@pytest.fixture(scope="module")
def compared(tiny_base: str, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """An encoder with a head and a decoder that scores words: cut off while the decoder trains, then gone on with."""
    folder = tmp_path_factory.mktemp("compare")
    save_base(folder / "decoder", "AutoModelForCausalLM", [str(labelled_texts()), WORDS["task_options"]["prompt"]])
    entries = {
        "encoder": {"base": {"name": tiny_base}},
        "decoder": {**WORDS, "base": {"name": str(folder / "decoder"), "max_length": 96}},
    }
    settled = config(folder, entries)
    entered = 0
    with closing(compare(settled)) as events:
        for event in events:
            entered += isinstance(event, Entered)
            if entered == 2 and isinstance(event, Step) and event.step == 3:
                break
    assert (folder / "out" / "encoder" / "bundle").exists() and not (folder / "out" / "decoder" / "bundle").exists()
    return Compared(folder, settled, *finish(compare(settled)))


def test_what_was_cut_off_goes_on_and_what_is_done_stays(compared: Compared) -> None:
    entered = [event for event in compared.events if isinstance(event, Entered)]
    assert [(one.name, one.number, one.total, one.done) for one in entered] == [
        ("encoder", 1, 2, True),
        ("decoder", 2, 2, False),
    ]
    (started,) = [event for event in compared.events if isinstance(event, Started)]
    assert started.first_step == 3


def test_all_are_judged_on_the_same_rows_with_their_costs(compared: Compared) -> None:
    written = json.loads(compared.result.report_json.read_text(encoding="utf-8"))
    assert {one["name"] for one in written["contenders"]} == {"encoder", "decoder", "tfidf", "majority"}
    assert {one["test"]["n"] for one in written["contenders"]} == {written["data"]["test"]["rows"]}
    assert {(one["clean_test"] or one["test"])["n"] for one in written["contenders"]} == {written["n"]}
    assert len(written["pairs"]) == 3 and all(pair["p_holm"] >= pair["p"] for pair in written["pairs"])
    for name in ("encoder", "decoder"):
        (one,) = [one for one in written["contenders"] if one["name"] == name]
        report = json.loads((compared.folder / "out" / name / "report.json").read_text(encoding="utf-8"))
        for score, value in report["test"].items():  # what the bundle answers is what its own run reported
            assert one["test"][score] == pytest.approx(value, abs=1e-6)
        assert one["parameters"] > 1000 and 0 < one["trained_share"] < 1 and one["bundle_bytes"] > 1000
        assert one["seconds_per_row"] > 0 and one["train_seconds"] > 0
    assert written["advice"]["take"] in {"encoder", "decoder", "tfidf"}
    assert compared.result.report_html.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_command_takes_finished_entries_as_they_are(
    compared: Compared, tiny_base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same comparison, as flags: nothing is trained, and the answer is the same."""
    path = compared.folder / "compare.yaml"
    entries = {"encoder": None, "decoder": {**WORDS, "base": {"max_length": 96}}}
    path.write_text(json.dumps({**SHARED, "entries": entries}), encoding="utf-8")
    arguments = ["--config", str(path), "--data", str(compared.folder / "data.csv"), "--out"]
    where = [str(compared.folder / "out"), "--json"]
    bases = {"encoder": tiny_base, "decoder": compared.folder / "decoder"}
    named = [part for name, base in bases.items() for part in ("--set", f"entries.{name}.base.name={base}")]
    with pytest.raises(SystemExit) as leaving:
        main(["compare", *arguments, *where, *named])
    assert leaving.value.code == 0
    told, before = json.loads(capsys.readouterr().out), compared.result.comparison.as_json()
    for one, other in zip(told["contenders"], before["contenders"], strict=True):
        assert (one["name"], one["test"], one["clean_test"]) == (other["name"], other["test"], other["clean_test"])
    assert told["pairs"] == before["pairs"]


def test_other_settings_or_data_in_the_folder_are_refused(compared: Compared) -> None:
    (name, run), *_ = compared.config.entries.items()
    changed = run.model_copy(update={"train": run.train.model_copy(update={"epochs": 5})})
    with pytest.raises(RunError, match="encoder"):
        finish(compare(CompareConfig(out=compared.config.out, entries={name: changed})))
    data = compared.folder / "data.csv"
    before = data.read_text(encoding="utf-8")
    data.write_text(before + '"多一行","好"\n', encoding="utf-8")
    try:
        with pytest.raises(RunError, match="encoder"):
            finish(compare(compared.config))
    finally:
        data.write_text(before, encoding="utf-8")


def test_entries_that_cannot_be_compared_are_refused_before_training(tiny_base: str, tmp_path: Path) -> None:
    base = {"base": {"name": tiny_base}}
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "seed": ({"a": base, "b": {**base, "train": {"seed": 7}}}, "train.seed"),
        "task": ({"a": base, "b": {**base, "task": "multi_label"}}, "multi_label"),
        "labels": ({"a": base, "b": {**base, "task_options": {"label_names": {"好": "正面"}}}}, r"entries\.b"),
        "folder": ({"../a": base}, r"\.\./a"),
        "baseline": ({"tfidf": base}, "tfidf"),
    }
    for entries, told in cases.values():
        with pytest.raises(ConfigError, match=told):
            finish(compare(config(tmp_path, entries)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "a.csv", "--base", "mini-zh"], "out"),
        (["--data", "a.csv", "--out", "o"], "entries"),
        (["--data", "a.csv", "--out", "o", "--base", "mini-zh", "--set", "train.epoch=1"], "epochs"),
    ],
)
def test_a_wrong_call_names_what_is_wrong(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["compare", *arguments])
    assert leaving.value.code == 2 and told in capsys.readouterr().err


def test_the_examples_are_comparisons_that_pass_their_checks() -> None:
    from qingtiao.cli.compare import _settled, _written
    from qingtiao.workflows.compare import _refuse_unlike

    paths = sorted((Path(__file__).parents[2] / "examples" / "compare").glob("*.yaml"))
    assert len(paths) == 1
    for path in paths:
        shared = read_yaml(path)
        settled = _settled(shared, _written(shared.pop("entries")), quiet=True)
        assert len(_refuse_unlike(settled)) == len(settled.entries) == 2
        assert settled.entries["mini-zh-head"].adapter.method == "head"
        assert path.name in path.read_text(encoding="utf-8").splitlines()[0], "its first line tells how to run it"


def test_bases_become_entries_with_names_of_their_own() -> None:
    from qingtiao.cli.compare import _entries_of

    found = _entries_of(["mini-zh", "/models/Qwen3 0.6B/", "text_pair=mini-zh", "mini-zh", "x=y"], None)
    assert found == {
        "mini-zh": {"base": {"name": "mini-zh"}},
        "Qwen3-0.6B": {"base": {"name": "/models/Qwen3 0.6B/"}},
        "mini-zh-text_pair": {"base": {"name": "mini-zh"}, "task": "text_pair"},
        "mini-zh-2": {"base": {"name": "mini-zh"}},
        "x-y": {"base": {"name": "x=y"}},
    }
