"""Presets: each is valid, fits a model of its kind, and lies under what the user says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, PEFT_TASK_TYPES, load_options, save_architecture

from qingtiao.config import AdapterConfig, RunConfig, merge, parse
from qingtiao.errors import ConfigError
from qingtiao.models.adapter import add_adapter, trainable
from qingtiao.models.base import load_base
from qingtiao.models.preset import Preset, in_force, lay_under, preset_names, preset_of, preset_of_run, read_preset

MINIMAL = {"data": {"train": "a.csv"}, "out": "runs/a"}
TASKS = {
    *("text_classification", "multi_label", "regression", "text_pair", "token_classification", "keywords"),
    *("seq2seq", "chat", "label_scoring", "image_text", "image_caption"),
}
PRESETS = {name: read_preset(name) for name in preset_names()}


def test_the_list_of_presets_is_whole() -> None:
    assert len(PRESETS) == 34
    assert {task for preset in PRESETS.values() for task in preset.tasks} == TASKS
    named = [name for preset in PRESETS.values() for name in (preset.hub, *preset.also)]
    assert len(set(named)) == len(named) == 35


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid(name: str) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.settings.keys() <= {"base", "adapter", "train"}
    config = parse(RunConfig, lay_under(preset, MINIMAL))
    assert config.base.name == preset.hub
    assert set(preset.tasks) <= TASKS
    dumped = config.model_dump(mode="json")
    for section, items in preset.settings.items():
        for key, value in items.items():
            assert dumped[section][key] == value, f"{section}.{key} is not read as it is written"


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_and_rates_are_sensible(name: str) -> None:
    """A slip of the pen moves these by a factor of ten."""
    preset = PRESETS[name]
    config = parse(RunConfig, lay_under(preset, MINIMAL))
    assert isinstance(config.train.learning_rate, float)
    lowest, highest = (1e-4, 2e-4) if preset.parameters > 480_000_000 else (1e-4, 1e-3)
    if preset.model_type == "mt5":
        lowest, highest = 3e-4, 1e-3
    assert lowest <= config.train.learning_rate <= highest
    assert config.adapter.alpha == 2 * config.adapter.r
    assert 16 <= config.train.batch_size * config.train.accumulation <= 64
    assert config.base.max_length <= 1024
    assert 10_000_000 < preset.parameters < 10_000_000_000


# One preset for each kind of model and each set of adapter settings.
KINDS = {(p.model_type, str(p.settings["adapter"])): p for p in PRESETS.values()}


def test_the_list_of_kinds_is_whole() -> None:
    assert {model_type for model_type, _ in KINDS} == {
        *("bert", "ernie", "deberta-v2", "modernbert", "mt5", "t5", "bart", "qwen2", "qwen3", "llama", "mistral"),
        *("chinese_clip", "qwen2_5_vl", "qwen3_vl"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapter_goes_onto_a_model_of_its_kind(kind: tuple[str, str], tmp_path: Path) -> None:
    architecture = kind[0].replace("-", "_")
    auto_class = next(iter(ARCHITECTURES[architecture].heads))
    folder = save_architecture(architecture, tmp_path)
    torch.manual_seed(0)
    base = load_base(folder, revision=None, auto_class=auto_class, model_options=load_options(auto_class))
    assert base.model.config.model_type == kind[0]
    config = AdapterConfig(**KINDS[kind].settings["adapter"])
    moving = trainable(add_adapter(base, config, peft_task_type=PEFT_TASK_TYPES[auto_class], seed=0))
    assert any(".lora_A." in key and parameter.shape[0] == config.r for key, parameter in moving.items())
    if "target_modules" in KINDS[kind].settings["adapter"]:
        assert all("language_model" in key for key in moving)


def values(**more: Any) -> dict[str, Any]:
    return merge(MINIMAL, {"base": {"name": "hfl/rbt3"}}, more)


def test_what_the_user_says_lies_on_top() -> None:
    preset = preset_of_run(values(), wanted=None)
    assert preset is not None
    said = {"train": {"learning_rate": 1e-4, "epochs": 2}, "base": {"max_length": 64}}
    config = parse(RunConfig, lay_under(preset, values(**said)))
    assert (config.train.learning_rate, config.train.epochs, config.base.max_length) == (1e-4, 2, 64)
    assert (config.train.batch_size, config.adapter.r) == (32, 8)
    assert in_force(preset, lay_under(preset, values(**said))) == {
        "adapter.r": 8,
        "adapter.alpha": 16,
        "train.batch_size": 32,
    }


@pytest.mark.parametrize(("method", "rate"), [("lora", 5e-4), ("full", "auto"), ("head", "auto")])
def test_the_rates_are_of_lora(method: str, rate: object) -> None:
    said = values(adapter={"method": method})
    assert parse(RunConfig, lay_under(PRESETS["rbt3"], said)).train.learning_rate == rate
    said = merge(said, {"train": {"learning_rate": 2e-5}})
    assert parse(RunConfig, lay_under(PRESETS["rbt3"], said)).train.learning_rate == 2e-5


def test_only_an_exact_name_has_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rbt3", "someone/rbt3", "hfl/RBT3", "mini-zh", str(tmp_path / "rbt3")):
        assert preset_of(name) is None
    for name in ("bert-base-chinese", "google-bert/bert-base-chinese"):
        assert preset_of(name) == PRESETS["bert-base-chinese"]
    monkeypatch.chdir(tmp_path)
    Path("hfl/rbt3").mkdir(parents=True)
    assert preset_of_run(values(), wanted=None) is None
    assert preset_of_run(values(), wanted="rbt3") == preset_of_run(values(), wanted="hfl/rbt3") == PRESETS["rbt3"]


@pytest.mark.parametrize("said", [{}, {"base": None}, {"base": 5}, {"base": {"name": 5}}, {"base": {}}])
def test_values_that_name_no_base(said: dict[str, Any]) -> None:
    assert preset_of_run(said, wanted=None) is None


@pytest.mark.parametrize("section", ["adapter", "train", "base"])
def test_a_broken_config_is_still_refused_as_such(section: str) -> None:
    with pytest.raises(ConfigError, match=section):
        parse(RunConfig, lay_under(PRESETS["rbt3"], {**MINIMAL, section: 5}))


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"rbt3"):
        read_preset("hfl/rbt-3")
    with pytest.raises(ConfigError, match="没有预设"):
        read_preset("someone/rbt3")


def test_an_unknown_key_in_a_preset_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="licence"):
        parse(Preset, {**PRESETS["rbt3"].model_dump(), "license": "MIT"})
