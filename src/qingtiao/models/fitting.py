"""Options that follow from the base: what PEFT wants to be told of the layers and can be read off them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from qingtiao.errors import ConfigError

Options = dict[str, Any]
Layer = tuple[str, int]  # path, width of its input

_MISS_RANK = 64
_BOFT_BLOCK = 4
_HEADROOM = 1.5  # of AdaLoRA: how many ranks it begins with, for each that it ends with


def fitted(peft_type: str, model: Any, options: Mapping[str, Any]) -> Options:
    """`options` and what the method needs besides, for the layers that `target_modules` names.

    Raises:
        ConfigError: the layers are of widths that the method cannot take.
    """
    fit = _FITS.get(peft_type)
    return {**options, **(fit(options, _layers(model, options.get("target_modules")), model) if fit else {})}


def _layers(model: nn.Module, wanted: object) -> list[Layer]:
    """The linear layers whose paths are, or end with, one of the names."""
    from transformers.pytorch_utils import Conv1D

    names = [wanted] if isinstance(wanted, str) else list(wanted) if isinstance(wanted, Sequence) else []
    found = []
    for path, module in model.named_modules():
        if any(path == name or path.endswith(f".{name}") for name in names):
            if isinstance(module, nn.Linear):
                found.append((path, module.in_features))
            elif isinstance(module, Conv1D):
                found.append((path, module.weight.shape[0]))
    return found


def _ia3(options: Mapping[str, Any], layers: Sequence[Layer], model: Any) -> Options:
    """Layers that read something wider than the hidden state are scaled where they read it, others where they write.

    Those are the second halves of feed-forward blocks, as in the paper (Liu et al., 2022), and outputs of attention
    whose heads are wider together than the hidden state.
    """
    if "feedforward_modules" in options:
        return {}
    hidden = int(model.config.get_text_config().hidden_size)
    return {"feedforward_modules": [path for path, width in layers if width > hidden]}


def _boft(options: Mapping[str, Any], layers: Sequence[Layer], _model: Any) -> Options:
    if options.get("boft_block_num"):
        return {"boft_block_size": 0}
    if "boft_block_size" in options:
        _refuse_indivisible("boft_block_size", int(options["boft_block_size"]), layers)
        return {}
    common = math.gcd(*(width for _, width in layers)) if layers else _BOFT_BLOCK
    size = max(size for size in range(1, _BOFT_BLOCK + 1) if common % size == 0)
    _refuse_indivisible("boft_block_size", _BOFT_BLOCK if size == 1 else size, layers)
    return {"boft_block_size": size}


def _oft(options: Mapping[str, Any], layers: Sequence[Layer], _model: Any) -> Options:
    """PEFT takes either the size of blocks or their number, and would change one that does not divide a layer."""
    for name in ("r", "oft_block_size"):
        if options.get(name):
            _refuse_indivisible(name, int(options[name]), layers)
    return {"oft_block_size": 0} if options.get("r") and "oft_block_size" not in options else {}


def _refuse_indivisible(name: str, size: int, layers: Sequence[Layer]) -> None:
    for path, width in layers:
        if size < 1 or width % size:
            common = math.gcd(*(width for _, width in layers))
            raise ConfigError(
                f"method.{name}={size} 不能整除 {path} 的输入宽度 {width}",
                f"method.{name}={size} does not divide {width}, the input width of {path}",
                todo_zh=f"用 {common} 的约数，或者用 --set method.target_modules 少适配几层。",
                todo_en=f"Use a divisor of {common}, or adapt fewer layers with --set method.target_modules.",
            )


def _miss(options: Mapping[str, Any], layers: Sequence[Layer], _model: Any) -> Options:
    """No rank may be larger than the narrowest layer."""
    if "r" in options or not layers:
        return {}
    return {"r": min(_MISS_RANK, *(width for _, width in layers))}


def _adalora(options: Mapping[str, Any], _layers: Sequence[Layer], _model: Any) -> Options:
    """More ranks to begin with than are left at the end. How long that takes is settled when the steps are known."""
    target = int(options["target_r"])
    initial = int(options.get("init_r", math.ceil(target * _HEADROOM)))
    if not 1 <= target < initial:
        raise ConfigError(
            f"adalora 从 init_r={initial} 个秩减到 target_r={target} 个，前者要更大，后者至少是 1",
            f"adalora goes from init_r={initial} ranks down to target_r={target}: the former must be larger",
            todo_zh="例如 --set method.target_r=8 --set method.init_r=12。",
            todo_en="For example --set method.target_r=8 --set method.init_r=12.",
        )
    return {"init_r": initial, "total_step": 1 + int(options.get("tinit", 0)) + int(options.get("tfinal", 0))}


def _prompts(options: Mapping[str, Any], _layers: Sequence[Layer], model: Any) -> Options:
    """The width of a token and the number of attention heads, which PEFT knows by some of their names only."""
    return _told(options, model, width=int(model.get_input_embeddings().weight.shape[1]))


def _prefix(options: Mapping[str, Any], _layers: Sequence[Layer], model: Any) -> Options:
    """Keys and values are as wide as the hidden state; PEFT itself sees to those that are fewer than the heads."""
    return _told(options, model, width=int(model.config.get_text_config().hidden_size))


def _told(options: Mapping[str, Any], model: Any, *, width: int) -> Options:
    heads = int(model.config.get_text_config().num_attention_heads)
    return {k: v for k, v in {"token_dim": width, "num_attention_heads": heads}.items() if k not in options}


_FITS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Layer], Any], Options]] = {
    "adalora": _adalora,
    "boft": _boft,
    "ia3": _ia3,
    "miss": _miss,
    "oft": _oft,
    "p_tuning": _prompts,
    "prefix_tuning": _prefix,
    "prompt_tuning": _prompts,
}
