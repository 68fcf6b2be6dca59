"""Adapters that do not begin at zero, saved as plain LoRA that fits the base as its files hold it.

PiSSA and OLoRA take a part of each weight W into their matrices B₀A₀ and leave the rest in the layer. What was trained
is W − s·B₀A₀ + s·BA. Put beside one another, [B, −B₀] and [A; A₀] are plain LoRA of twice the rank on W itself: no
decomposition has to come out alike on another machine (Meng et al., PiSSA, 2024, appendix C).

LoftQ takes up what quantising lost, s·B₀A₀ ≈ W − Q(W), and leaves Q(W) alone (Li et al., LoftQ, 2023, algorithm 1 with
one step). Its later steps quantise W − s·B₀A₀, which could not be had from the files of the base again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch

from qingtiao.errors import ConfigError

_CHANGE_THE_BASE = ("pissa", "olora")
_LOFTQ = "loftq"
_A, _B = "start_of_a", "start_of_b"


def refuse_unconvertible(values: Mapping[str, Any]) -> None:
    """Check the options of LoRA before the base is changed.

    Raises:
        ConfigError: where it begins, or what is trained, could not be written as plain LoRA.
    """
    also = [name for name in ("use_dora", "rank_pattern", "alpha_pattern") if values.get(name)]
    if (changes_the_base(values) or error_rank(values)) and also:
        how = values["init_lora_weights"]
        raise ConfigError(
            f"{how} 不能和 {also[0]} 一起用：它的起点要由各层一样的普通 LoRA 来表示",
            f"{how} does not go with {also[0]}: it begins at plain LoRA, alike on all layers",
            todo_zh=f"去掉 --set method.{also[0]}。",
            todo_en=f"Drop --set method.{also[0]}.",
        )


def changes_the_base(values: Mapping[str, Any]) -> bool:
    """Whether LoRA with these options takes a part of the weights out of the base."""
    how = values.get("init_lora_weights")
    return isinstance(how, str) and how.lower().startswith(_CHANGE_THE_BASE)


def error_rank(values: Mapping[str, Any]) -> int:
    """At which rank LoRA with these options takes up the error of quantising; 0 if it does not."""
    return int(values["r"]) if str(values.get("init_lora_weights")).lower() == _LOFTQ else 0


def for_peft(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options without the start that is made here: PEFT would quantise the layers once more, its own way."""
    return {**values, "init_lora_weights": True} if error_rank(values) else dict(values)


def begin(model: Any, values: Mapping[str, Any]) -> None:
    """What is to be done once the adapter is on the model, before anything is trained.

    Raises:
        ConfigError: no layer that is adapted was quantised, and the method begins at the error of that.
    """
    if changes_the_base(values):
        _keep_starts(model)
    if error_rank(values):
        _take_up_errors(model)


def _take_up_errors(model: Any) -> None:
    """Begin at what quantising took from each adapted layer, as `quantise` left it there."""
    taken = 0
    for layer in model.modules():
        error = getattr(layer.get_base_layer(), "error", None) if hasattr(layer, "get_base_layer") else None
        if error is None:
            continue
        outputs_by_rank, rank_by_inputs = error
        for a, b in _matrices(layer):
            found = len(rank_by_inputs)  # fewer than the rank where the layer is narrower
            with torch.no_grad():
                layer.get_parameter(a)[:found] = rank_by_inputs
                layer.get_parameter(b)[:, :found] = outputs_by_rank / layer.scaling["default"]
            layer.get_base_layer().error = None
            taken += 1
    if not taken:
        raise without_error()


def without_error() -> ConfigError:
    return ConfigError(
        "loftq 从量化的误差起步，基座却没有量化",
        "loftq begins at the error of quantising, but the base is not quantised",
        todo_zh="加上 --quantize 4bit，或者用 --method lora。",
        todo_en="Add --quantize 4bit, or use --method lora.",
    )


def _keep_starts(model: Any) -> None:
    """Remember A₀ and B₀ of each layer. The buffers go where the model goes, and are saved with nothing."""
    for layer in model.modules():
        for a, b in _matrices(layer):
            # Embeddings are left as they are: nothing of theirs is to be taken back.
            share = 0.0 if "embedding" in a else 1.0
            layer.register_buffer(_A, share * layer.get_parameter(a).detach(), persistent=False)
            layer.register_buffer(_B, share * layer.get_parameter(b).detach(), persistent=False)


@contextmanager
def as_saved(model: Any) -> Iterator[dict[str, torch.Tensor] | None]:
    """The state dict to give to `save_pretrained`, and for as long the config that goes with it.

    None where the model is saved as it is.
    """
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, _A)}
    if not layers:
        yield None
        return
    state = dict(model.state_dict())
    for name, layer in layers.items():
        for a, b in _matrices(layer):
            state[f"{name}.{a}"] = torch.cat([state[f"{name}.{a}"], getattr(layer, _A)], dim=0)
            state[f"{name}.{b}"] = torch.cat([state[f"{name}.{b}"], -getattr(layer, _B)], dim=1)
    trained = model.peft_config["default"]
    model.peft_config["default"] = _twice_the_rank(trained)
    try:
        yield state
    finally:
        model.peft_config["default"] = trained


def _twice_the_rank(config: Any) -> Any:
    plain = deepcopy(config)
    plain.init_lora_weights = True
    plain.r = 2 * config.r
    plain.lora_alpha = config.lora_alpha * (2**0.5 if config.use_rslora else 2)  # the scale stays as it was
    return plain


def _matrices(layer: Any) -> list[tuple[str, str]]:
    """The names of A (rank, in) and B (out, rank) within a LoRA layer; none within other modules."""
    names = [
        ("lora_A.default.weight", "lora_B.default.weight"),
        ("lora_embedding_A.default", "lora_embedding_B.default"),
    ]
    return [pair for pair in names if "default" in getattr(layer, pair[0].partition(".")[0], ())]
