"""A base in 8 or 4 bits: frozen linear layers are quantised, whatever is trained, new or of another kind is not.

Layers are quantised in place after the base was loaded and its fingerprint taken. So a base has one fingerprint,
quantised or not, and which layers are heads is seen by their structure, as for every other base.
"""

from __future__ import annotations

import importlib.util
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from qingtiao.config import AdapterConfig, Quantize
from qingtiao.errors import BaseModelError, ConfigError, EnvironmentLack
from qingtiao.models.adapter import head_modules, linear_layers
from qingtiao.models.base import LoadedBase
from qingtiao.models.device import forked_random, pick_device
from qingtiao.models.methods import method_named, options_of
from qingtiao.models.starts import changes_the_base, error_rank, without_error

_OVERSAMPLED = 8  # columns that a random factorisation draws beyond the rank; Halko et al. take 5 or 10


@dataclass(frozen=True, slots=True)
class Quantisation:
    """What became of a base: how many of its layers were quantised, and the bytes that its weights take."""

    how: Quantize
    layers: int
    bytes_before: int
    bytes_after: int


def quantise(base: LoadedBase, how: Quantize, *, adapter: AdapterConfig | None = None) -> Quantisation | None:
    """Quantise the layers of `base.model` in place; None for "none".

    Source: Dettmers et al., QLoRA, 2023 (4bit) and LLM.int8(), 2022 (8bit), as bitsandbytes implements them.

    Args:
        adapter: what will be put on it. If that begins at the error of quantising, each layer keeps a factorisation
            of its error until then; afterwards the weight that it would be the error of is gone.

    Raises:
        EnvironmentLack: bitsandbytes is not installed.
        BaseModelError: the base has no layer that could be quantised.
    """
    if how == "none":
        return None
    kind, device = quantised_layers().LAYERS[how], pick_device()
    rank = error_rank(options_of(adapter)[0]) if adapter else 0
    names = quantisable(base)
    if not names:
        raise BaseModelError(
            f"基座 {base.name} 里没有可以量化的层",
            f"The base {base.name} has no layer that could be quantised",
            todo_zh="去掉 --quantize。",
            todo_en="Drop --quantize.",
        )
    before = weight_bytes(base.model)
    for name in names:
        layer = base.model.get_submodule(name)
        weight = _outputs_by_inputs(layer)
        quantised = kind(weight, layer.bias, device=device)
        if rank:
            quantised.error = _factorised(weight.to(device) - quantised.full(), rank)
        base.model.set_submodule(name, quantised.train(layer.training))
    # PEFT asks the model whether it may find such layers.
    setattr(base.model, f"is_loaded_in_{how}", True)
    return Quantisation(how, len(names), before, weight_bytes(base.model))


def quantisable(base: LoadedBase) -> list[str]:
    """Paths of the linear layers that are neither heads nor output embeddings, nor new, nor share their weight.

    Subclasses of Linear are left alone, for others read their weights without calling them, and so are layers that
    the architecture keeps in float32 because it does just that (T5).
    """
    from transformers.pytorch_utils import Conv1D

    model = base.model
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    kept = [f".{name}." for name in getattr(model, "_keep_in_fp32_modules", None) or ()]
    fresh = set(base.fresh)
    return [
        name
        for name in linear_layers(model, head_modules(model, base.fresh))
        if type(layer := model.get_submodule(name)) in (nn.Linear, Conv1D)
        and uses[id(layer.weight)] == 1
        and f"{name}.weight" not in fresh
        and not any(part in f".{name}." for part in kept)
    ]


def dequantise(model: nn.Module) -> None:
    """Put full float32 layers in the place of quantised ones, with the weights that those compute with."""
    kinds = tuple(quantised_layers().LAYERS.values())
    for name, layer in list(model.named_modules()):
        if isinstance(layer, kinds):
            full = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
            full.weight = nn.Parameter(layer.full(), requires_grad=False)
            full.bias = layer.bias
            model.set_submodule(name, full.train(layer.training))
    for how in quantised_layers().LAYERS:
        if hasattr(model, f"is_loaded_in_{how}"):
            delattr(model, f"is_loaded_in_{how}")


def check_quantising(how: Quantize, adapter: AdapterConfig) -> None:
    """What can be said before anything is loaded.

    Raises:
        EnvironmentLack: bitsandbytes is not installed.
        ConfigError: the method trains or changes the layers themselves, or needs them quantised and they are not.
    """
    values, _ = options_of(adapter)
    if how == "none":
        if error_rank(values):
            raise without_error()
        return
    quantised_layers()
    if method_named(adapter.method).whole == "all" or changes_the_base(values):
        raise _unfit(adapter.method)


def refuse_unfit(model: Any, *, method: str) -> None:
    """Check the adapter on a quantised base: it must know that the weights of its layers are packed.

    Raises:
        ConfigError: the method reads them as if they were plain numbers.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    kinds = tuple(quantised_layers().LAYERS.values())
    for layer in model.modules():
        adapts = isinstance(layer, BaseTunerLayer) and isinstance(layer.get_base_layer(), kinds)
        if adapts and not _knows_packed_weights(layer):
            raise _unfit(method)


def weight_bytes(model: nn.Module) -> int:
    """Memory of the parameters and buffers with the statistics of quantised ones, each counted once."""
    tensors = {id(tensor): tensor for part in (*model.parameters(), *model.buffers()) for tensor in _held(part)}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def parameter_count(parameter: nn.Parameter) -> int:
    """How many numbers a parameter stands for: a byte of 4-bit weights holds two."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def quantised_layers() -> ModuleType:
    """The module that needs bitsandbytes.

    Raises:
        EnvironmentLack: it is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EnvironmentLack(
            "量化要用 bitsandbytes，这里没有装",
            "Quantising needs bitsandbytes, which is not installed",
            todo_zh="pip install 'qingtiao[quant]'，或者去掉 --quantize。",
            todo_en="pip install 'qingtiao[quant]', or drop --quantize.",
        )
    # It warns of a kernel that it can do without when it is imported, and of every input of an 8-bit layer.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from qingtiao.models import quantised_layers as module

    return module


def _unfit(method: str) -> ConfigError:
    return ConfigError(
        f"方法 {method} 用不了量化过的基座：它要改动或直接读取各层的权重",
        f"The method {method} does not work on a quantised base: it changes or reads the weights of its layers",
        todo_zh="用 --method lora，或者去掉 --quantize。",
        todo_en="Use --method lora, or drop --quantize.",
    )


def _outputs_by_inputs(layer: Any) -> torch.Tensor:
    """The weight of a Linear; that of a Conv1D, which holds it the other way round."""
    weight: torch.Tensor = layer.weight.detach().float()
    return weight if isinstance(layer, nn.Linear) else weight.T


def _factorised(error: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of `error` of shapes (outputs, rank) and (rank, inputs), their product nearly the nearest to it.

    Source: Halko, Martinsson & Tropp, 2011, algorithm 5.1 with four power iterations.
    """
    # Drawn from a seed of its own, so that nothing else that a run draws depends on the method.
    with forked_random(error.device):
        torch.manual_seed(0)
        left, sizes, right = torch.svd_lowrank(error, q=min(rank + _OVERSAMPLED, *error.shape), niter=4)
    root = sizes[:rank].sqrt()
    return left[:, :rank] * root, (right[:, :rank] * root).T


def _held(part: torch.Tensor) -> Iterator[torch.Tensor]:
    yield part
    state, scales = getattr(part, "quant_state", None), getattr(part, "SCB", None)
    if scales is not None:
        yield scales
    if state is not None:
        yield from (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)


def _knows_packed_weights(layer: Any) -> bool:
    """PEFT gives such layers a class of the method's `bnb` module, or a backend that unpacks the weights."""
    return type(layer).__module__.endswith(".bnb") or getattr(layer, "quantization_backend", None) is not None
