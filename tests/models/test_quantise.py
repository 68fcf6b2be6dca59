"""Bases in 8 and 4 bits: which layers are quantised, what they compute with, what is refused. Real bitsandbytes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import (
    CAUSAL,
    CLASSES,
    PEFT_TASK_TYPES,
    example_inputs,
    load_options,
    logits_of,
    save_architecture,
)

from qingtiao.config import AdapterConfig
from qingtiao.errors import BaseModelError, ConfigError, EnvironmentLack
from qingtiao.models.adapter import add_adapter, head_modules, trainable
from qingtiao.models.base import LoadedBase, load_base
from qingtiao.models.quantise import (
    check_quantising,
    dequantise,
    parameter_count,
    quantisable,
    quantise,
    quantised_layers,
    refuse_unfit,
    weight_bytes,
)

BITS = ("4bit", "8bit")


def load(folder: str, auto_class: str = CLASSES) -> LoadedBase:
    torch.manual_seed(1)
    return load_base(folder, revision=None, auto_class=auto_class, model_options=load_options(auto_class))


def packed(model: Any) -> dict[str, Any]:
    kinds = tuple(quantised_layers().LAYERS.values())
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}


# A head inside the backbone, one beside it, output embeddings, Conv1D, layers that must stay in float32.
@pytest.fixture(
    scope="module",
    params=[("bert", CLASSES), ("deberta_v2", CLASSES), ("qwen3", CLASSES), ("qwen3", CAUSAL), ("gpt2", CAUSAL)],
    ids="-".join,
)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    name, auto_class = request.param
    return name, auto_class, save_architecture(name, tmp_path_factory.mktemp("base") / "base")


@pytest.mark.parametrize("how", BITS)
def test_frozen_layers_are_quantised_and_nothing_else(kind: tuple[str, str, str], how: Any) -> None:
    name, auto_class, folder = kind
    base = load(folder, auto_class)
    expected = logits_of(base.model, example_inputs(name, auto_class))
    wanted, whole = quantisable(base), dict(base.model.state_dict())
    fact = quantise(base, how)
    assert fact is not None and fact.layers == len(wanted) >= 4
    assert packed(base.model).keys() == set(wanted)
    heads = head_modules(base.model, base.fresh)
    output = base.model.get_output_embeddings()
    for path, module in base.model.named_modules():
        if module is output or any(path == head or path.startswith(f"{head}.") for head in heads):
            assert path not in wanted
    for path, parameter in base.model.named_parameters():
        if path.rpartition(".")[0] in wanted and path.endswith("weight"):
            assert not parameter.is_floating_point()
        else:
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, whole[path])
    moved = (logits_of(base.model, example_inputs(name, auto_class)) - expected).abs().max()
    assert 0 < moved < 0.1 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("how", BITS)
def test_the_fingerprint_is_that_of_the_files(kind: tuple[str, str, str], how: Any) -> None:
    _, auto_class, folder = kind
    quantised, whole = load(folder, auto_class), load(folder, auto_class)
    quantise(quantised, how)
    assert quantised.fingerprint == whole.fingerprint


@pytest.mark.parametrize("how", BITS)
def test_memory_falls_and_parameters_are_counted_as_numbers(how: Any, bert: str) -> None:
    base = load(bert)
    numbers = sum(parameter.numel() for parameter in base.model.parameters())
    before = weight_bytes(base.model)
    assert before >= 4 * numbers
    fact = quantise(base, how)
    assert fact is not None and (fact.bytes_before, fact.bytes_after) == (before, weight_bytes(base.model))
    layers = packed(base.model).values()
    saved = sum(layer.in_features * layer.out_features for layer in layers) * {"4bit": 3.5, "8bit": 3}[how]
    # Of 4 bits a byte for each block of 64 and two small tables; of 8 bits a number for each output.
    statistics = {
        "4bit": sum(layer.in_features * layer.out_features / 64 + 4 * (16 + 256 + 2) for layer in layers),
        "8bit": sum(4 * layer.out_features for layer in layers),
    }[how]
    assert before - fact.bytes_after == pytest.approx(saved - statistics, abs=4 * len(layers))
    assert sum(parameter_count(parameter) for parameter in base.model.parameters()) == numbers


@pytest.mark.parametrize("how", BITS)
def test_lora_trains_on_it_after_a_look_at_dev_rows_too(how: Any, kind: tuple[str, str, str]) -> None:
    name, auto_class, folder = kind
    base = load(folder, auto_class)
    quantise(base, how)
    model = add_adapter(base, AdapterConfig(dropout=0), peft_task_type=PEFT_TASK_TYPES[auto_class], seed=3)
    refuse_unfit(model, method="lora")
    inputs = example_inputs(name, auto_class)
    labels = inputs["input_ids"] if auto_class == CAUSAL else torch.tensor([0, 1])
    optimizer = torch.optim.SGD(trainable(model).values(), lr=0.1)
    losses = []
    for _ in range(4):
        model.eval()
        with torch.no_grad():
            losses.append(float(model(**inputs, labels=labels).loss))
        model.train()
        model(**inputs, labels=labels).loss.backward()
        # Of LoRA, A has no gradient while B is zero.
        touched = [parameter for key, parameter in trainable(model).items() if "lora_A" not in key]
        assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in touched)
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 1e-4


@pytest.mark.parametrize("how", BITS)
def test_training_in_bf16_rounds_nothing_for_good(how: Any, bert: str) -> None:
    base = load(bert)
    quantise(base, how)
    model, inputs = base.model, example_inputs("bert", CLASSES)
    expected = logits_of(model, inputs)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        model(**inputs, labels=torch.tensor([0, 1])).loss.backward()
    assert torch.equal(logits_of(model, inputs), expected)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layer = next(iter(packed(model).values()))
        layer(torch.ones(1, layer.in_features, dtype=torch.bfloat16))
    assert torch.equal(logits_of(model, inputs), expected)


def test_no_layer_is_packed_for_a_kernel_that_rounds_its_inputs(bert: str) -> None:
    base = load(bert)
    quantise(base, "4bit")
    assert len(packed(base.model)) == 12
    assert not any(layer.support_avx512bf16_for_cpu for layer in packed(base.model).values())


@pytest.mark.parametrize(("how", "tolerance"), [("4bit", 1e-5), ("8bit", 0.05)])
def test_dequantised_layers_hold_what_the_quantised_ones_computed_with(how: Any, tolerance: float, bert: str) -> None:
    base = load(bert)
    quantise(base, how)
    inputs = example_inputs("bert", CLASSES)
    expected = logits_of(base.model, inputs)
    dequantise(base.model)
    assert packed(base.model) == {}
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.float32}
    assert (logits_of(base.model, inputs) - expected).abs().max() < tolerance


def test_layers_that_the_architecture_keeps_in_float32_are_left_alone(tmp_path: Path) -> None:
    from architectures import SEQ2SEQ

    base = load(save_architecture("t5", tmp_path / "t5"), SEQ2SEQ)
    quantise(base, "4bit")
    kept = [layer for name, layer in base.model.named_modules() if name.endswith(".wo")]
    assert len(kept) == 4 and all(type(layer) is torch.nn.Linear for layer in kept)
    logits_of(base.model, example_inputs("t5", SEQ2SEQ))


@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "vera", "boft"])
def test_methods_that_know_packed_weights(method: str, bert: str) -> None:
    base = load(bert)
    quantise(base, "4bit")
    more = {"options": {"boft_block_size": 4}} if method == "boft" else {}
    model = add_adapter(base, AdapterConfig(method=method, **more), peft_task_type="SEQ_CLS", seed=0)
    refuse_unfit(model, method=method)
    logits_of(model, example_inputs("bert", CLASSES))


def test_methods_that_do_not_are_refused(bert: str) -> None:
    base = load(bert)
    quantise(base, "8bit")
    model = add_adapter(base, AdapterConfig(method="loha"), peft_task_type="SEQ_CLS", seed=0)
    with pytest.raises(ConfigError, match="loha"):
        refuse_unfit(model, method="loha")
    with pytest.raises(ConfigError, match="full"):
        check_quantising("4bit", AdapterConfig(method="full"))


@pytest.mark.parametrize("how", BITS)
def test_loftq_begins_where_quantising_lost_least(how: Any, kind: tuple[str, str, str]) -> None:
    """Each layer computes with the nearest matrix to its weight that lies one of the rank away from the packed one."""
    _, auto_class, folder = kind
    base, adapter = load(folder, auto_class), AdapterConfig(method="loftq", r=4, alpha=12)
    weights = {name: _full(layer) for name, layer in base.model.named_modules() if name in quantisable(base)}
    quantise(base, how, adapter=adapter)
    lost = {name: weights[name] - layer.full() for name, layer in packed(base.model).items()}
    model = add_adapter(base, adapter, peft_task_type=PEFT_TASK_TYPES[auto_class], seed=0)
    layers = {name.partition("base_model.model.")[2]: m for name, m in model.named_modules() if hasattr(m, "lora_A")}
    assert layers.keys() == lost.keys()
    for name, layer in layers.items():
        left = torch.linalg.matrix_norm(lost[name] - layer.get_delta_weight("default"))
        best = torch.linalg.svdvals(lost[name])[4:].norm()
        assert best - 1e-6 <= left <= 1.01 * best < torch.linalg.matrix_norm(lost[name]), name
        assert layer.get_base_layer().error is None


def _full(layer: Any) -> torch.Tensor:
    weight: torch.Tensor = layer.weight.detach().clone()
    return weight if isinstance(layer, torch.nn.Linear) else weight.T


def test_loftq_draws_nothing_from_the_random_numbers_of_the_run(bert: str) -> None:
    base = load(bert)
    drawn = torch.get_rng_state()
    quantise(base, "4bit", adapter=AdapterConfig(method="loftq"))
    assert torch.equal(torch.get_rng_state(), drawn)


def test_loftq_needs_a_quantised_base(bert: str) -> None:
    adapter = AdapterConfig(options={"init_lora_weights": "loftq"})
    with pytest.raises(ConfigError, match="--quantize 4bit"):
        check_quantising("none", adapter)
    with pytest.raises(ConfigError, match="--quantize 4bit"):
        add_adapter(load(bert), adapter, peft_task_type="SEQ_CLS", seed=0)


@pytest.mark.parametrize("option", [{"use_dora": True}, {"rank_pattern": {"query": 2}}])
def test_loftq_refuses_what_it_cannot_start(option: dict[str, Any], bert: str) -> None:
    adapter = AdapterConfig(method="loftq", options=option)
    base = load(bert)
    quantise(base, "4bit", adapter=adapter)
    with pytest.raises(ConfigError, match=next(iter(option))):
        add_adapter(base, adapter, peft_task_type="SEQ_CLS", seed=0)


@pytest.mark.parametrize("adapter", [{"method": "pissa"}, {"options": {"init_lora_weights": "olora"}}])
def test_methods_that_change_the_base_are_refused_before_it_is_loaded(adapter: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="量化过的基座"):
        check_quantising("8bit", AdapterConfig(**adapter))


def test_a_base_without_such_layers_is_refused(bert: str) -> None:
    base = load(bert)
    for name in quantisable(base):
        base.model.get_submodule(name).__class__ = type("ReadsItsWeight", (torch.nn.Linear,), {})
    with pytest.raises(BaseModelError, match="没有可以量化的层"):
        quantise(base, "4bit")


def test_without_bitsandbytes_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(EnvironmentLack, match=r"pip install 'qingtiao\[quant\]'"):
        check_quantising("4bit", AdapterConfig())
    check_quantising("none", AdapterConfig())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_architecture("bert", tmp_path_factory.mktemp("bert") / "base")
