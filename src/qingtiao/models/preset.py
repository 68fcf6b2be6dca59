"""Presets: settings that suit a well-known base, one YAML file each in `presets/`. No code belongs to any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field

from qingtiao.config import AdapterConfig, Settings, merge, parse, read_yaml, suggestion
from qingtiao.errors import ConfigError
from qingtiao.models.methods import method_named

_FOLDER = Path(str(resources.files("qingtiao.models"))) / "presets"


class PresetTitle(Settings):
    """What people call the base."""

    zh: str
    en: str


class Preset(Settings):
    """A base, what it is good for, and the settings it wants. `settings` lie under the config and the flags."""

    hub: str = Field(description="Hub 上的名字 | its id on the Hub")
    also: tuple[str, ...] = Field((), description="同一个模型的其它名字 | other ids of the same model")
    modelscope: str | None = Field(None, description="ModelScope 上的名字 | its id on ModelScope")
    title: PresetTitle
    model_type: str = Field(description="config.json 里的 model_type | as in its config.json")
    parameters: int = Field(ge=1, description="大约多少参数 | parameters, about")
    tasks: tuple[str, ...] = Field(min_length=1, description="适合的任务 | tasks that it suits")
    licence: str | None = Field(None, description="许可证，拿不准就不写 | left out where not certain")
    settings: dict[str, dict[str, Any]]

    @property
    def name(self) -> str:
        return self.hub.rpartition("/")[2]


def preset_names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def read_preset(name: str) -> Preset:
    """The preset called `name`, or of the base with that Hub id.

    Raises:
        ConfigError: there is none.
    """
    found = preset_of(name)
    if found is None and name in preset_names():
        found = _read(name)
    if found is None:
        zh, en = suggestion(name.rpartition("/")[2], preset_names())
        raise ConfigError(
            f"没有预设 {name}{zh}",
            f"There is no preset {name}{en}",
            todo_zh="qingtiao bases 列出全部预设；不用预设就去掉 --preset。",
            todo_en="qingtiao bases lists them all; without --preset the settings fit themselves to the base.",
        )
    return found


def preset_of(base: str) -> Preset | None:
    """The preset of the base with exactly this Hub id, where there is one."""
    name = base.rpartition("/")[2]
    if name not in preset_names():
        return None
    preset = _read(name)
    return preset if base in (preset.hub, *preset.also) else None


def preset_of_run(values: Mapping[str, Any], *, wanted: str | None) -> Preset | None:
    """The preset for the values of a `RunConfig`: the one `wanted`, else that of the base they name.

    A folder has no preset unless one is wanted: nobody can tell what is in it by its name.

    Raises:
        ConfigError: there is none such as `wanted`.
    """
    if wanted is not None:
        return read_preset(wanted)
    base = values.get("base")
    name = base.get("name") if isinstance(base, Mapping) else None
    if not isinstance(name, str) or Path(name).expanduser().is_dir():
        return None
    return preset_of(name)


def lay_under(preset: Preset, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, with the preset's base and settings where they are silent.

    The ranks and learning rates of presets are LoRA's: methods that are not like it keep their own.

    Raises:
        ConfigError: `values` name a method that does not exist.
    """
    adapter = values.get("adapter")
    name = adapter.get("method") if isinstance(adapter, Mapping) else None
    method = method_named(name if isinstance(name, str) else AdapterConfig().method)
    settings = preset.settings if method.like_lora else _but_of_lora(preset.settings, method.takes)
    return merge({"base": {"name": preset.hub}}, settings, values)


def _but_of_lora(settings: Mapping[str, Mapping[str, Any]], takes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A preset's settings without the learning rate, and of the adapter's what the method `takes`."""
    kept = {section: dict(items) for section, items in settings.items()}
    kept["adapter"] = {name: value for name, value in kept.get("adapter", {}).items() if name in takes}
    kept["train"] = {name: value for name, value in kept.get("train", {}).items() if name != "learning_rate"}
    return kept


def in_force(preset: Preset, merged: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's settings that nothing above them changed, by path: `{"train.learning_rate": 0.0002}`."""
    return {
        f"{section}.{name}": value
        for section, items in preset.settings.items()
        for name, value in items.items()
        if isinstance(merged.get(section), Mapping) and merged[section].get(name) == value
    }


def _read(name: str) -> Preset:
    return parse(Preset, read_yaml(_FOLDER / f"{name}.yaml"))
