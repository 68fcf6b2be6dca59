"""Put an adapter on a base: which layers are adapted, and which heads are trained whole and saved with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from qingtiao.config import LAYER_SETS, AdapterConfig
from qingtiao.errors import BaseModelError, ConfigError
from qingtiao.models.base import LoadedBase, quiet_transformers
from qingtiao.models.fitting import fitted
from qingtiao.models.methods import method_named, options_of, peft_types
from qingtiao.models.starts import begin, for_peft, refuse_unconvertible

# The task types for which PEFT marks heads as trainable from outside of the base.
_PEFT_KNOWS_HEADS = ("SEQ_CLS", "TOKEN_CLS")


def head_modules(model: Any, fresh: Collection[str]) -> list[str]:
    """Module paths that must be trained whole and saved.

    A head is found by structure, never by name: a child that owns parameters and stands beside the backbone
    (`model.base_model`), or the largest module all of whose parameters are newly initialised. The second rule
    catches random poolers inside the backbone. Output embeddings are no head unless they are new: they are as large
    as the vocabulary, often the same tensor as the input embeddings, and were trained with the base. A model that is
    its own backbone (T5 for generation, CLIP) has new modules for heads and no others.

    Raises:
        BaseModelError: a newly initialised parameter belongs to no module of its own and could not be saved.
    """
    output = model.get_output_embeddings()
    backbone = model.base_model
    beside = [] if backbone is model else [pair for pair in model.named_children() if pair[1] is not backbone]
    heads = {
        name
        for name, child in beside
        if any(True for _ in child.parameters()) and all(module is not output for module in child.modules())
    }
    # Buffers that are missing from the files are constants, alike in every process.
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for key in parameters.intersection(fresh):
        if any(key.startswith(f"{head}.") for head in heads):
            continue
        owner = _largest_fresh_module(model, key, fresh)
        if owner is None:
            raise BaseModelError(
                f"基座里新初始化的参数 {key} 不属于任何可以单独保存的模块",
                f"The newly initialised parameter {key} belongs to no module that could be saved",
                todo_zh="换一个权重完整的基座。",
                todo_en="Use a base whose weights are whole.",
            )
        heads.add(owner)
    return sorted(heads)


def _largest_fresh_module(model: nn.Module, key: str, fresh: Collection[str]) -> str | None:
    path = key.split(".")[:-1]
    for depth in range(1, len(path) + 1):
        name = ".".join(path[:depth])
        module = model.get_submodule(name)
        # A list of modules computes nothing, and PEFT does not take it for one.
        if type(module).forward is not nn.Module.forward and all(
            f"{name}.{inner}" in fresh for inner, _ in module.named_parameters()
        ):
            return name
    return None


def linear_layers(model: Any, heads: Collection[str]) -> list[str]:
    """Every linear layer but the heads and the output embeddings, as full module paths."""
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
        and module is not output
        and not any(name == h or name.startswith(f"{h}.") for h in heads)
    ]


def _layers(base: LoadedBase, heads: Collection[str], wanted: str) -> list[str]:
    layers = linear_layers(base.model, heads)
    if wanted == "all-linear+embeddings":
        layers.append(_embeddings(base))
    return layers


def _embeddings(base: LoadedBase) -> str:
    """The path of the input embeddings.

    Raises:
        ConfigError: other modules use the same tensor: merging would change what they do too.
    """
    weight = base.model.get_input_embeddings().weight
    modules: Iterable[tuple[str, nn.Module]] = base.model.named_modules()
    holders = [name for name, module in modules if getattr(module, "weight", None) is weight]
    if len(holders) > 1:
        raise ConfigError(
            f"基座 {base.name} 的词向量与别处共用一份权重（{'、'.join(holders)}），不能单独适配",
            f"The embeddings of {base.name} share their weight with other modules ({', '.join(holders)})",
            todo_zh="用 --set adapter.target_modules=all-linear。",
            todo_en="Use --set adapter.target_modules=all-linear.",
        )
    return holders[0]


def add_adapter(base: LoadedBase, config: AdapterConfig, *, peft_task_type: str | None, seed: int) -> Any:
    """The base as a `PeftModel` with a new adapter; its random parts depend on `seed` alone.

    The methods are those of `models.methods`: PEFT's, variants of them, `full` (every parameter) and `head`.

    Raises:
        ConfigError: PEFT has no such method or option, or no layer bears the names asked for.
    """
    import peft
    from peft.utils.constants import DUMMY_TARGET_MODULES

    method = method_named(config.method)
    values, _ = options_of(config)
    saved_whole = heads = head_modules(base.model, base.fresh)
    if method.whole:
        values["target_modules"] = DUMMY_TARGET_MODULES
    elif values.get("target_modules") in LAYER_SETS:
        values["target_modules"] = _layers(base, heads, str(values["target_modules"]))
    kind = peft_types()[method.peft_type]
    if issubclass(kind, peft.PromptLearningConfig):
        saved_whole = _told_from_prompts(saved_whole, config.method, peft_task_type)
    refuse_unconvertible(values)
    values = fitted(method.peft_type, base.model, values)
    if method.whole == "all":
        saved_whole = _all_modules(base.model, peft_task_type=peft_task_type)
    torch.manual_seed(seed)
    try:
        with quiet_transformers():
            peft_config = kind(
                task_type=peft_task_type,
                modules_to_save=saved_whole or None,
                base_model_name_or_path=base.name,
                **for_peft(values),
            )
            model = peft.get_peft_model(base.model, peft_config)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"方法 {config.method} 装不到基座 {base.name} 上（target_modules = {config.target_modules}）：{error}",
            f"The method {config.method} does not go onto {base.name} "
            f"(target_modules = {config.target_modules}): {error}",
            todo_zh="改 --set method.选项 或 adapter.target_modules（默认的层总是有的），或者用 --method lora。",
            todo_en="Change its options or adapter.target_modules (the default always exists), or use --method lora.",
        ) from None
    _refuse_what_trains_nothing(model, base, config.method)
    begin(model, values)
    # PEFT rewrites this to the local path; the bundle names the base as the user did.
    model.peft_config["default"].base_model_name_or_path = base.name
    return model


def _all_modules(model: nn.Module, *, peft_task_type: str | None) -> list[str]:
    """Modules that together own every parameter, by names that PEFT takes for nothing else: it compares ends of paths.

    With a head of ours it compares those of its own wrapper, which calls the base `model` as many backbones are called;
    else those of the base, where what bears an ambiguous name, or is no more than a list, is taken part by part.
    """
    if peft_task_type in _PEFT_KNOWS_HEADS:
        return [f".model.{name}" for name, child in model.named_children() if _owns_parameters(child)]
    paths = [name for name, _ in model.named_modules(remove_duplicate=False)]

    def parts(path: str, module: nn.Module) -> Iterator[str]:
        children = [(f"{path}.{name}".lstrip("."), child) for name, child in module.named_children()]
        computes = type(module).forward is not nn.Module.forward
        if path and computes and sum(other.endswith(path) for other in paths) == 1:
            yield path
        else:
            for name, child in children:
                yield from parts(name, child) if _owns_parameters(child) else ()

    return list(parts("", model))


def _told_from_prompts(heads: Sequence[str], method: str, peft_task_type: str | None) -> list[str]:
    """The heads, by names that no part of a prompt encoder ends with: it has an `mlp_head`.

    Raises:
        ConfigError: PEFT must know the kind of task to know where prompts go.
    """
    if peft_task_type is None:
        raise ConfigError(
            f"这种任务的模型没有一个放提示的地方，方法 {method} 用不了",
            f"Models of this task have no one place for prompts, so the method {method} cannot be used",
            todo_zh="换一种方法，例如 --method lora。",
            todo_en="Use another method, for example --method lora.",
        )
    return [f".{head}" for head in heads]


def _owns_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _refuse_what_trains_nothing(model: nn.Module, base: LoadedBase, method: str) -> None:
    if not trainable(model):
        raise ConfigError(
            f"用方法 {method} 在基座 {base.name} 上没有什么可训练的：这个任务不加新的头",
            f"The method {method} finds nothing to train on {base.name}: this task puts no new head on it",
            todo_zh="用 --method lora。",
            todo_en="Use --method lora.",
        )


def merged(model: Any) -> Any:
    """The base with the adapter folded into its weights; the model as it is where the method has nothing to fold in.

    Logits move by rounding only.
    """
    from peft.utils.other import ModulesToSaveWrapper

    if not hasattr(model, "merge_and_unload"):
        return model
    # PEFT puts back heads of one layer only, except for LoRA.
    wrapped = [(n, m) for n, m in model.named_modules() if isinstance(m, ModulesToSaveWrapper)]
    for name, wrapper in wrapped:
        model.set_submodule(name, wrapper.modules_to_save[wrapper.active_adapters[0]])
    try:
        with quiet_transformers():  # of embeddings that were tied and were trained whole, apart
            return model.merge_and_unload()
    except NotImplementedError:  # said by the first layer, before anything was changed
        return model


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training moves, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the trained parameters on the CPU, by name."""
    return {name: p.detach().to("cpu", copy=True).contiguous() for name, p in trainable(model).items()}


def load_trainable_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put `trainable_state` back; the names must be exactly the same."""
    parameters = trainable(model)
    if parameters.keys() != state.keys():
        raise ValueError(f"trainable parameters differ: {sorted(parameters.keys() ^ state.keys())[:5]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[name])
