"""The settings of a run. Every default lives here and nowhere else; the texts feed help, docs and the web form.

One YAML file, or flags, or both: flags win, and `--set a.b=c` reaches every field.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qingtiao.errors import ConfigError
from qingtiao.validation import Mistake, fields_at, fields_named, mistakes

PrecisionChoice = Literal["auto", "fp32", "bf16"]
HeadStart = Literal["fit", "random"]
Quantize = Literal["none", "8bit", "4bit"]


class Settings(BaseModel):
    """Base of every settings class: frozen, and an unknown key is a mistake rather than a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class NormaliseConfig(Settings):
    """How text is cleaned, identically in training and prediction; saved with the bundle."""

    version: Literal[1] = Field(1, description="规则版本 | version of the rules below")
    nfkc: bool = Field(True, description="全角转半角等兼容归一 | Unicode NFKC")
    squeeze_repeats: int = Field(
        3, ge=0, le=100, description="同一标点、表情最多保留几个，0 为不限 | longest run of one mark; 0 keeps all"
    )
    simplify: bool = Field(False, description="繁体转简体，需要 OpenCC | traditional to simplified, needs OpenCC")
    fold_links: bool = Field(False, description="网址、@用户 折叠成占位符 | fold URLs and @names into placeholders")


class DataConfig(Settings):
    """Where rows come from and what is done to them before they are learnt."""

    train: str = Field(
        description="训练数据：文件、embedded:reviews 或 hf:名字 | training data: a file or a prefixed source"
    )
    dev: str | None = Field(None, description="验证数据；不给就从训练数据里分 | dev data; split off when absent")
    test: str | None = Field(None, description="测试数据；不给就从训练数据里分 | test data; split off when absent")
    text_column: str | None = Field(
        None, description="文本列名；不给就按名字找 | text column; found by name when absent"
    )
    label_column: str | None = Field(
        None, description="标签列名；不给就按名字找 | label column; found by name when absent"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="任务需要的其它列，例如 text_b: 句子2 | further columns of a task, for example text_b: sentence2",
    )
    encoding: str | None = Field(None, description="文件编码；不给就检测 | file encoding; detected when absent")
    sample: int | None = Field(None, ge=1, description="随机抽多少行训练 | train on a random sample of this many rows")
    clean: bool = Field(False, description="训练前去重、去坏行 | drop duplicate and damaged rows before training")
    dev_share: float = Field(0.1, gt=0, lt=0.5, description="自动划分时验证集的比例 | share split off for dev")
    test_share: float = Field(0.1, gt=0, lt=0.5, description="自动划分时测试集的比例 | share split off for test")
    near_duplicate: float = Field(
        0.5,
        gt=0,
        le=1,
        description="5-gram Jaccard 达到多少算近似重复 | 5-gram Jaccard from which two texts are near-duplicates",
    )

    def named_columns(self) -> dict[str, str]:
        """Role to column, of those that are named."""
        usual = {"text": self.text_column, "label": self.label_column}
        return {**{role: name for role, name in usual.items() if name is not None}, **self.columns}


class BaseConfig(Settings):
    """The model that is adapted."""

    name: str = Field("mini-zh", description="mini-zh、Hub 名字或本地目录 | mini-zh, a Hub id or a local folder")
    revision: str | None = Field(None, description="Hub 上的版本 | revision on the Hub")
    max_length: int = Field(256, ge=8, le=32_768, description="最多读多少个词元 | longest input in tokens")
    quantize: Quantize = Field(
        "none", description="把冻结的基座量化成 8 位或 4 位，省内存 | the frozen base in 8 or 4 bits, to save memory"
    )


class AdapterConfig(Settings):
    """What is trained. `options` go to PEFT's own config of that method, checked against its fields.

    `full` (every parameter) and `head` (the heads alone) are methods too, and take no options. `r`, `alpha` and
    `dropout` are of LoRA and its like; other methods have options of their own.
    """

    method: str = Field(
        "lora",
        description=(
            "怎么训：lora、dora、ia3……，full（全部参数）或 head（只训分类头） | how: lora, dora, ia3 ... full or head"
        ),
    )
    r: int = Field(8, ge=1, le=1024, description="LoRA 一类的秩 | rank of LoRA and its like")
    alpha: float = Field(16, gt=0, description="LoRA 一类的缩放 | scaling numerator of LoRA and its like")
    dropout: float = Field(0.0, ge=0, lt=1, description="LoRA 一类里的 dropout | dropout of LoRA and its like")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear",
        description=(
            "适配哪些层：all-linear 是除分类头外全部线性层，all-linear+embeddings 再加词向量，也可以列出层名"
            " | layers to adapt: all-linear (heads spared), all-linear+embeddings, or their names"
        ),
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="该方法在 PEFT 里的选项，简写 method.名字 | options of PEFT's own config, method.NAME for short",
    )


class TrainConfig(Settings):
    """How it is trained. `auto` values are resolved from the size of the base and of the data."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = Field(
        "auto", description="训练几遍 | passes over the data"
    )
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"] = Field(
        "auto", description="学习率 | peak learning rate"
    )
    batch_size: int = Field(16, ge=1, le=4096, description="每步多少条 | examples a step, per process")
    accumulation: int = Field(1, ge=1, le=1024, description="累积几小批再更新 | micro-batches a step")
    head_start: HeadStart = Field(
        "fit",
        description=(
            "新的输出层从哪里开始：fit 先在冻结的基座上拟合，random 随机"
            " | where a new output layer starts: fit: fitted on what the frozen base gives; random"
        ),
    )
    warmup: float = Field(0.06, ge=0, lt=1, description="预热占总步数的比例 | share of the steps spent warming up")
    weight_decay: float = Field(0.01, ge=0, description="权重衰减 | AdamW weight decay")
    clip: float = Field(1.0, gt=0, description="梯度范数上限 | gradient norm limit")
    precision: PrecisionChoice = Field("auto", description="auto 会先测速再选 | auto probes, then chooses")
    group_by_length: bool = Field(True, description="长短相近的排一批，少填充 | batch rows of similar length together")
    metric: str = Field(
        "auto",
        description="按哪个指标选最好的模型；auto 由任务定 | score that picks the best model; auto: the task's own",
    )
    patience: int = Field(
        3, ge=0, description="多少遍没有进步就停，0 为不停 | epochs without progress before stopping; 0 never"
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="随机种子 | random seed")
    checkpoint_seconds: float = Field(30, ge=0, description="隔多少秒存一次进度 | seconds between checkpoints")


class RunConfig(Settings):
    """One run, whole."""

    data: DataConfig
    out: str = Field(description="输出目录 | output folder")
    task: str = Field("text_classification", description="任务名 | name of the task")
    task_options: dict[str, Any] = Field(default_factory=dict, description="任务自己的选项 | the task's own options")
    normalise: NormaliseConfig = NormaliseConfig()
    base: BaseConfig = BaseConfig()
    adapter: AdapterConfig = AdapterConfig()
    train: TrainConfig = TrainConfig()


class CompareConfig(Settings):
    """Several runs on the same rows, by name. Each has the folder of its name inside `out`."""

    out: str = Field(description="输出目录 | output folder")
    entries: dict[str, RunConfig] = Field(
        min_length=1, description="要比较的训练，名字: 设置 | the runs to compare, name: settings"
    )


# What `adapter.target_modules` may be beside names of layers. The first is the default: adapting the embeddings of
# `mini-zh` too cost 1 to 3 points on the dev rows of two sets (benchmarks/accuracy/tune.py).
LAYER_SETS = ("all-linear", "all-linear+embeddings")
_SMALL = 512  # hidden sizes below this are small encoders


class Defaults(NamedTuple):
    """What the `auto` values of `TrainConfig` become."""

    learning_rate: float
    epochs: int


def is_small(hidden_size: int) -> bool:
    """Whether a base of that width counts as a small encoder."""
    return hidden_size < _SMALL


def resolve_auto(config: TrainConfig, *, rate: float, hidden_size: int, rows: int) -> Defaults:
    """Small encoders want a learning rate several times that of base-size ones; `rate` is the method's multiple.

    Few rows want more passes.
    The pass count aims at about 10,000 examples seen, between 3 and 12 passes: under that a head trained from
    scratch is not done, over it the dev score no longer moves.
    """
    learning_rate = (1e-3 if is_small(hidden_size) else 3e-4) * rate
    epochs = min(12, max(3, round(10_000 / max(1, rows))))
    return Defaults(
        learning_rate=learning_rate if config.learning_rate == "auto" else config.learning_rate,
        epochs=epochs if config.epochs == "auto" else config.epochs,
    )


S = TypeVar("S", bound=Settings)


def parse(kind: type[S], values: Mapping[str, Any]) -> S:
    """`values` as settings.

    Raises:
        ConfigError: every mistake at once, each with its path and, for an unknown key, the nearest valid one.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_problem(kind, mistake) for mistake in mistakes(kind, error.errors())]
        raise ConfigError(
            "设置有误：\n" + "\n".join(f"  {path}：{zh}" for path, zh, _ in problems),
            "The settings are wrong:\n" + "\n".join(f"  {path}: {en}" for path, _, en in problems),
            todo_zh="改正上面各处再运行。",
            todo_en="Correct each of these and run again.",
        ) from None


def _problem(kind: type[Settings], mistake: Mistake) -> tuple[str, str, str]:
    path = ".".join(mistake.path)
    if mistake.kind == "extra_forbidden":
        *above, name = mistake.path
        elsewhere = next(fields_named(kind, name), None)
        zh, en = did_you_mean(elsewhere) if elsewhere else suggestion(name, fields_at(kind, above))
        return path, f"没有这个选项{zh}", f"no such option{en}"
    if mistake.kind == "missing":
        return path, "缺少这一项", "is required"
    value = repr(mistake.value)
    return path, f"{value} 不可用，应为{mistake.wanted_zh}", f"{value} cannot be used: it should be {mistake.wanted_en}"


def suggestion(wrong: str, valid: Sequence[str]) -> tuple[str, str]:
    """“did you mean …” in Chinese and English; both empty when nothing valid comes near."""
    near = nearest(wrong, valid)
    return did_you_mean(near) if near else ("", "")


def nearest(wrong: str, valid: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(wrong, list(valid), n=1, cutoff=0.5)), None)


def did_you_mean(name: str) -> tuple[str, str]:
    return f"，是不是 {name}？", f"; did you mean {name}?"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ConfigError: the file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"读不了配置文件 {path}：{error}",
            f"Cannot read the config file {path}: {error}",
            todo_zh="检查路径、编码（UTF-8）和缩进。",
            todo_en="Check the path, the encoding (UTF-8) and the indentation.",
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"配置文件 {path} 的顶层应当是“键: 值”",
            f"The top of the config file {path} must be a mapping",
            todo_zh="参照 examples/ 里的配置写。",
            todo_en="Follow one of the configs in examples/.",
        )
    return values


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over one another, later ones on top; `None` never covers a value."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                below = merged.get(key)
                merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
            elif value is not None or key not in merged:
                merged[key] = value
    return merged


_SHORT_FOR_OPTIONS = "method."


def assignments(items: Sequence[str]) -> dict[str, Any]:
    """`["train.epochs=3"]` as `{"train": {"epochs": 3}}`; values are read as YAML.

    `method.x` is short for `adapter.options.x`.

    Raises:
        ConfigError: an item without `=`, or a value that is not YAML.
    """
    values: dict[str, Any] = {}
    for item in items:
        path, equals, text = item.partition("=")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            equals = ""
        if not equals or not path:
            raise ConfigError(
                f"--set {item} 不是 名字=值 的形式",
                f"--set {item} is not of the form name=value",
                todo_zh="例如 --set train.epochs=3",
                todo_en="For example --set train.epochs=3",
            )
        nested: Any = value
        if path.startswith(_SHORT_FOR_OPTIONS):
            path = f"adapter.options.{path.removeprefix(_SHORT_FOR_OPTIONS)}"
        for name in reversed(path.split(".")):
            nested = {name: nested}
        values = merge(values, nested)
    return values
