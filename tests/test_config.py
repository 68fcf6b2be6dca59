"""Settings: every mistake at once, files and flags laid over one another, and what `auto` becomes."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from qingtiao.config import (
    DataConfig,
    NormaliseConfig,
    RunConfig,
    Settings,
    TrainConfig,
    assignments,
    merge,
    parse,
    read_yaml,
    resolve_auto,
    suggestion,
)
from qingtiao.errors import ConfigError
from qingtiao.models.methods import method_named
from qingtiao.task import task_names

MINIMAL: Mapping[str, Any] = {"data": {"train": "评论.csv"}, "out": "runs/a"}


@pytest.fixture(autouse=True)
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "zh")


def mistakes(values: Mapping[str, Any]) -> list[str]:
    """The lines of the complaint, without its first and last."""
    with pytest.raises(ConfigError) as caught:
        parse(RunConfig, values)
    return [line.strip() for line in caught.value.what.splitlines()[1:]]


def test_two_fields_are_enough() -> None:
    config = parse(RunConfig, MINIMAL)
    assert (config.data.train, config.out) == ("评论.csv", "runs/a")
    assert (config.adapter.method, config.adapter.r, config.adapter.alpha, config.adapter.dropout) == (
        "lora",
        8,
        16,
        0.0,
    )
    assert (config.task, config.base.name, config.train.seed) == ("text_classification", "mini-zh", 42)


def test_every_mistake_is_shown_at_once_with_its_path() -> None:
    wrong = {
        "data": {"trian": "评论.csv", "sample": 0},
        "train": {"epochs": "three", "learning_rat": 1e-3, "seed": -1},
        "adapter": {"r": 2000},
    }
    lines = mistakes(wrong)
    paths = {line.split("：")[0].split(".")[0] for line in lines}
    assert paths == {"data", "train", "adapter", "out"}
    assert "data.trian：没有这个选项，是不是 train？" in lines
    assert "train.learning_rat：没有这个选项，是不是 learning_rate？" in lines
    assert "data.train：缺少这一项" in lines
    assert "out：缺少这一项" in lines
    assert any(line.startswith("data.sample：0 不可用") for line in lines)
    assert any(line.startswith("train.seed：-1 不可用") for line in lines)
    assert any(line.startswith("adapter.r：2000 不可用") for line in lines)
    assert any(line.startswith("train.epochs") and "'three' 不可用" in line for line in lines)


def test_the_complaint_is_bilingual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", "en")
    assert mistakes({**MINIMAL, "tesk": "x", "train": {"batch_siz": 4}}) == [
        "train.batch_siz: no such option; did you mean batch_size?",
        "tesk: no such option; did you mean task?",
    ]


def test_nothing_is_suggested_when_nothing_comes_near() -> None:
    assert mistakes({**MINIMAL, "zzz": 1}) == ["zzz：没有这个选项"]
    assert suggestion("zzz", ["epochs", "seed"]) == ("", "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.dev_share", 0.5),
        ("data.near_duplicate", 0),
        ("normalise.version", 2),
        ("normalise.squeeze_repeats", 101),
        ("base.max_length", 4),
        ("adapter.dropout", 1),
        ("adapter.alpha", 0),
        ("train.precision", "fp16"),
        ("train.warmup", -0.1),
        ("train.seed", 2**32),
    ],
)
def test_a_value_out_of_range_is_refused(path: str, value: object) -> None:
    lines = mistakes(merge(MINIMAL, assignments([f"{path}={value}"])))
    assert len(lines) == 1
    assert lines[0].startswith(path)
    assert "不可用" in lines[0]


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("train.epochs=-1", "train.epochs：-1 不可用，应为不小于 1 的数，或者 'auto'"),
        ("train.epochs=2.5", "train.epochs：2.5 不可用，应为整数，或者 'auto'"),
        ("train.learning_rate=.nan", "train.learning_rate：nan 不可用，应为有限的数，或者 'auto'"),
        ("train.precision=fp16", "train.precision：'fp16' 不可用，应为 'auto'、'fp32' 或 'bf16'"),
        ("data.columns.text_b=3", "data.columns.text_b：3 不可用，应为一段文字"),
        ("adapter.target_modules={a: 1}", "adapter.target_modules：{'a': 1} 不可用，应为一段文字，或者一个列表"),
        ("epochs=3", "epochs：没有这个选项，是不是 train.epochs？"),
        ("train.r=3", "train.r：没有这个选项，是不是 adapter.r？"),
    ],
)
def test_one_mistake_is_one_line_at_a_place_that_can_be_set(setting: str, complaint: str) -> None:
    assert mistakes(merge(MINIMAL, assignments([setting]))) == [complaint]


def test_a_section_that_is_not_a_mapping() -> None:
    assert any(line.startswith("train：5 不可用") for line in mistakes({**MINIMAL, "train": 5}))


def test_settings_cannot_be_changed() -> None:
    config = parse(RunConfig, MINIMAL)
    with pytest.raises(ValidationError):
        config.out = "elsewhere"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.train.seed = 1  # type: ignore[misc]


def all_settings() -> Iterator[type[Settings]]:
    pending: list[type[Settings]] = [RunConfig]
    while pending:
        kind = pending.pop()
        yield kind
        for item in kind.model_fields.values():
            if isinstance(item.annotation, type) and issubclass(item.annotation, Settings):
                pending.append(item.annotation)


def test_every_field_has_a_text_in_both_languages() -> None:
    """Help, docs and the web form are made of these."""
    seen = 0
    for kind in all_settings():
        for name, item in kind.model_fields.items():
            if isinstance(item.annotation, type) and issubclass(item.annotation, Settings):
                continue
            seen += 1
            zh, bar, en = (item.description or "").partition(" | ")
            assert bar, f"{kind.__name__}.{name}"
            assert any("\u4e00" <= character <= "\u9fff" for character in zh) or name == "version", name
            assert en.isascii(), f"{kind.__name__}.{name}: {en}"
    assert seen >= 35


def test_a_config_survives_yaml(tmp_path: Path) -> None:
    config = parse(RunConfig, merge(MINIMAL, {"train": {"epochs": 3}, "adapter": {"target_modules": ["query"]}}))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    assert parse(RunConfig, read_yaml(path)) == config


def test_later_layers_lie_on_top() -> None:
    below = {"train": {"epochs": 3, "seed": 1}, "out": "a"}
    above = {"train": {"seed": 2}, "task": "text_classification"}
    assert merge(below, above) == {"train": {"epochs": 3, "seed": 2}, "out": "a", "task": "text_classification"}
    assert below == {"train": {"epochs": 3, "seed": 1}, "out": "a"}


def test_none_never_covers_a_value() -> None:
    assert merge({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"c": None}}) == {"a": 1, "b": {"c": 2}}
    assert merge({}, {"a": None}) == {"a": None}
    assert merge({"a": None}, {"a": 1}) == {"a": 1}


def test_a_mapping_replaces_a_plain_value_and_the_reverse() -> None:
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert merge({"a": {"b": 2}}, {"a": 1}) == {"a": 1}
    assert merge() == {}


def test_assignments_are_read_as_yaml() -> None:
    items = ["train.epochs=3", "train.learning_rate=2e-3", "data.clean=true", "adapter.target_modules=[query, value]"]
    assert assignments(items) == {
        "train": {"epochs": 3, "learning_rate": "2e-3"},  # YAML 1.1 wants a dot in a float; pydantic reads it
        "data": {"clean": True},
        "adapter": {"target_modules": ["query", "value"]},
    }
    config = parse(RunConfig, merge(MINIMAL, assignments(items)))
    assert config.train.learning_rate == pytest.approx(2e-3)


def test_the_last_assignment_wins_and_a_value_may_hold_an_equals_sign() -> None:
    assert assignments(["out=a", "out=b=c"]) == {"out": "b=c"}
    assert assignments([]) == {}


def test_an_empty_value_is_none() -> None:
    assert assignments(["data.dev="]) == {"data": {"dev": None}}


@pytest.mark.parametrize("item", ["train.epochs", "=3", "", "a=[1,", "a={"])
def test_an_assignment_that_is_none(item: str) -> None:
    with pytest.raises(ConfigError, match="--set") as caught:
        assignments(["train.seed=1", item])
    assert item in caught.value.what
    assert "train.epochs=3" in caught.value.todo


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "with BOM"])
def test_yaml_in_utf8(mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / "设置.yaml"
    path.write_bytes(mark + "data:\n  train: 评论.csv\nout: runs/甲\n".encode())
    assert parse(RunConfig, read_yaml(path)).out == "runs/甲"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("data:\n  train: 评论.csv\n".encode("gb18030"), "读不了"),
        ("data: 评论".encode("utf-16"), "读不了"),
        (b"data: [1,\nout: x", "读不了"),
        (b"data:\n\ttrain: x\n", "读不了"),
        (b"\x00", "读不了"),
        (b"- a\n- b\n", "顶层"),
        (b"just words", "顶层"),
        (b"", "顶层"),
        (b"!!python/object/apply:os.system ['true']", "读不了"),
    ],
    ids=["gb18030", "utf-16", "unclosed", "tab", "NUL", "list", "scalar", "empty", "code"],
)
def test_a_file_that_is_no_config(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "设置.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_yaml(path)
    assert str(path) in caught.value.what


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "没有.yaml", tmp_path):
        with pytest.raises(ConfigError, match="读不了") as caught:
            read_yaml(path)
        assert str(path) in caught.value.what


@pytest.mark.parametrize(
    ("method", "hidden_size", "rows", "rate", "epochs"),
    [
        ("lora", 256, 100, 2e-3, 12),
        ("lora", 256, 1000, 2e-3, 10),
        ("dora", 511, 2000, 2e-3, 5),
        ("ia3", 256, 1000, 1e-2, 10),
        ("full", 256, 1000, 1e-3 / 6, 10),
        ("head", 512, 9600, 3e-4, 3),
        ("lora", 768, 1_000_000, 3e-4, 3),
        ("lora", 768, 0, 3e-4, 12),
        ("full", 768, 9600, 5e-5, 3),
    ],
)
def test_what_auto_becomes(method: str, hidden_size: int, rows: int, rate: float, epochs: int) -> None:
    resolved = resolve_auto(
        TrainConfig(), rate=method_named(method).rate_on(hidden_size), hidden_size=hidden_size, rows=rows
    )
    assert resolved.learning_rate == pytest.approx(rate)
    assert resolved.epochs == epochs


def test_what_is_given_is_not_resolved() -> None:
    config = TrainConfig(epochs=1, learning_rate=0.5)
    assert resolve_auto(config, rate=2, hidden_size=256, rows=10) == (0.5, 1)
    assert resolve_auto(TrainConfig(epochs=7), rate=1, hidden_size=768, rows=10).epochs == 7


def test_defaults_that_a_bundle_relies_on() -> None:
    """A bundle saved by an older release is read with these; changing one changes its predictions."""
    assert NormaliseConfig().model_dump() == {
        "version": 1,
        "nfkc": True,
        "squeeze_repeats": 3,
        "simplify": False,
        "fold_links": False,
    }
    assert get_args(NormaliseConfig.model_fields["version"].annotation) == (1,)
    assert DataConfig(train="x").near_duplicate == 0.5


def test_the_examples_are_valid() -> None:
    examples = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))
    assert len(examples) >= len(task_names())
    for path in examples:
        assert parse(RunConfig, read_yaml(path)).data.train
