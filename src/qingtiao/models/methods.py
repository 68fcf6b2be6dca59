"""The ways to adapt a base, by name: types of PEFT, well-known variants of them, and two of our own.

A type that PEFT knows needs no line here: its options are checked against the fields of its own config. A line adds
what PEFT has no name for (rsLoRA is LoRA with an option set) or defaults that suit it better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qingtiao.config import AdapterConfig, is_small, suggestion
from qingtiao.errors import ConfigError

_OF_LORA = ("r", "alpha", "dropout", "target_modules")
# What people write for a field that PEFT gives the name of its method: `dropout` for `lora_dropout`.
_SHORT = ("alpha", "dropout")
# Of PEFT's fields those that we settle ourselves.
_OURS = (
    *("modules_to_save", "inference_mode", "peft_type", "task_type", "base_model_name_or_path", "revision"),
    *("auto_mapping", "peft_version", "total_step", "loftq_config"),
)


@dataclass(frozen=True, slots=True)
class Method:
    """`peft_type` with `options` laid under the user's.

    Attributes:
        takes: the fields of `AdapterConfig` that are handed on; others are refused where they are set.
        rate: its learning rate, as a multiple of the one that `config.resolve_auto` holds for the size of the base.
        rate_when_small: the same on small encoders, where it is another.
        own: options that are not PEFT's but the training loop's, with their defaults.
        whole: what is trained whole where no layer is adapted: every module, or the heads alone. They are saved as
            PEFT saves heads, so that bundles, checkpoints and vanilla PEFT read them like any adapter.
    """

    peft_type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[str, ...] = ("target_modules",)
    rate: float = 1.0
    rate_when_small: float | None = None
    own: Mapping[str, float] = field(default_factory=dict)
    whole: Literal["all", "heads"] | None = None

    def rate_on(self, hidden_size: int) -> float:
        """The multiple for a base of that width."""
        if self.rate_when_small is not None and is_small(hidden_size):
            return self.rate_when_small
        return self.rate

    @property
    def like_lora(self) -> bool:
        """Whether ranks and rates that suit LoRA suit it."""
        return self.takes == _OF_LORA and self.rate == 1


_TOKENS = {"num_virtual_tokens": 20}

# Of 1, 2, 3 and 5 times the rate on `mini-zh`, 2 and 3 are better than 1 and 5 is too much (docs/mini-zh.md).
_LORA_WHEN_SMALL = 2.0

# Other rates are of the size that the methods' papers use beside LoRA's, and were not tuned further.
METHODS: Mapping[str, Method] = {
    "lora": Method("lora", takes=_OF_LORA, rate_when_small=_LORA_WHEN_SMALL),
    "rslora": Method("lora", {"use_rslora": True}, takes=_OF_LORA),
    "dora": Method("lora", {"use_dora": True}, takes=_OF_LORA, rate_when_small=_LORA_WHEN_SMALL),
    "pissa": Method("lora", {"init_lora_weights": "pissa"}, takes=_OF_LORA),
    "loftq": Method("lora", {"init_lora_weights": "loftq"}, takes=_OF_LORA, rate_when_small=_LORA_WHEN_SMALL),
    "loraplus": Method("lora", takes=_OF_LORA, rate=0.5, own={"loraplus_lr_ratio": 16.0}),
    "adalora": Method("adalora", {"target_r": 8, "lora_alpha": 16.0, "lora_dropout": 0.05}, rate=2.0),
    "ia3": Method("ia3", rate=10.0),
    "oft": Method("oft", rate=2.0),
    "boft": Method("boft", rate=2.0),
    "vera": Method("vera", rate=10.0),
    "miss": Method("miss"),
    "prefix_tuning": Method("prefix_tuning", _TOKENS, takes=(), rate=10.0),
    "prompt_tuning": Method("prompt_tuning", _TOKENS, takes=(), rate=10.0),
    "p_tuning": Method("p_tuning", _TOKENS, takes=()),
    # A guess that was not tuned.
    "full": Method("lora", takes=(), rate=1 / 6, whole="all"),
    "head": Method("lora", takes=(), whole="heads"),
}


def method_named(name: str) -> Method:
    """The method of that name, of our table or of PEFT; case does not matter.

    Raises:
        ConfigError: there is none.
    """
    wanted = name.lower()
    if wanted in METHODS:
        return METHODS[wanted]
    if wanted in peft_types():
        adapts_layers = "target_modules" in _fields(wanted)
        return Method(wanted, takes=("target_modules",) if adapts_layers else ())
    near = suggestion(wanted, list(METHODS))
    zh, en = near if any(near) else suggestion(wanted, list(peft_types()))
    raise ConfigError(
        f"没有方法 {name}{zh}",
        f"There is no method {name}{en}",
        todo_zh=f"用 {'、'.join(METHODS)}，或 PEFT 文档里的其它方法名。",
        todo_en=f"Use {', '.join(METHODS)}, or another method that PEFT documents.",
    )


def peft_types() -> dict[str, Any]:
    """PEFT's config classes by lower-case type."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    return {str(kind.value).lower(): cls for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def option_names(name: str) -> list[str]:
    """What `--set method.…` may set for the method, PEFT's own names and short ones."""
    method = method_named(name)
    if method.whole:
        return []
    fields = _fields(method.peft_type)
    return [*(f for f in fields if f not in _OURS), *_short_names(fields), *method.own]


def options_of(config: AdapterConfig) -> tuple[dict[str, Any], dict[str, float]]:
    """The keywords for PEFT's config class, and the options of the training loop.

    Raises:
        ConfigError: no such method or option, or a setting that the method does not take.
    """
    method = method_named(config.method)
    _refuse_unknown(config, option_names(config.method))
    _refuse_what_it_does_not_take(config, method)
    short = _short_names(_fields(method.peft_type))
    values = dict(method.options)
    values |= {short.get(ours, ours): getattr(config, ours) for ours in method.takes}
    values |= {short.get(name, name): value for name, value in config.options.items() if name not in method.own}
    if isinstance(values.get("target_modules"), tuple):
        values["target_modules"] = list(values["target_modules"])
    own = {name: float(config.options.get(name, default)) for name, default in method.own.items()}
    return values, own


def prompt_length(config: AdapterConfig) -> int:
    """How many virtual tokens the method puts before a text; they take positions of the base."""
    return int(options_of(config)[0].get("num_virtual_tokens") or 0)


def _fields(peft_type: str) -> list[str]:
    return [field.name for field in dataclasses.fields(peft_types()[peft_type])]


def _short_names(fields: Sequence[str]) -> dict[str, str]:
    """`{"dropout": "lora_dropout"}`, of the fields that go by their method's name and are the only such."""
    found = {}
    for short in _SHORT:
        long = [name for name in fields if name.endswith(f"_{short}")]
        if short not in fields and len(long) == 1:
            found[short] = long[0]
    return found


def _refuse_unknown(config: AdapterConfig, names: Sequence[str]) -> None:
    for name in config.options:
        if name not in names:
            zh, en = suggestion(name, names)
            raise ConfigError(
                f"method.{name}：{config.method} 没有这个选项{zh}",
                f"method.{name}: {config.method} has no such option{en}",
                todo_zh=f"它的选项有：{'、'.join(names)}。" if names else "这个方法没有选项，去掉它。",
                todo_en=f"Its options are {', '.join(names)}." if names else "This method has no options: drop it.",
            )


def _refuse_what_it_does_not_take(config: AdapterConfig, method: Method) -> None:
    default = AdapterConfig()
    for name in _OF_LORA:
        if name not in method.takes and getattr(config, name) != getattr(default, name):
            raise ConfigError(
                f"adapter.{name} 是 LoRA 一类的设置，{config.method} 不用它",
                f"adapter.{name} is a setting of LoRA and its like; {config.method} does not take it",
                todo_zh=f"去掉 adapter.{name}；这个方法自己的选项用 --set method.名字=值。",
                todo_en=f"Drop adapter.{name}; options of this method are set with --set method.name=value.",
            )
