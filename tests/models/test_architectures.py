"""Every architecture with every head it has: LoRA on the right layers, heads trained, the same when reloaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import (
    ARCHITECTURES,
    CAUSAL,
    CLASSES,
    DECODERS,
    EMBEDDING,
    ENCODER_DECODERS,
    ENCODERS,
    IMAGE_TO_TEXT,
    PEFT_TASK_TYPES,
    SEQ2SEQ,
    TAGS,
    WITH_IMAGES,
    example_inputs,
    load_options,
    logits_of,
    save_architecture,
)
from safetensors.torch import load_file

from qingtiao.config import AdapterConfig
from qingtiao.errors import ConfigError
from qingtiao.models.adapter import add_adapter, head_modules, linear_layers, trainable
from qingtiao.models.base import LoadedBase, load_base, longest_input
from qingtiao.models.processor import tokenizer_of

CASES = [(name, auto_class) for name, kind in ARCHITECTURES.items() for auto_class in kind.heads]

_BERT = {"query": 2, "key": 2, "value": 2, "dense": 6}
_LLAMA = {"q_proj": 2, "k_proj": 2, "v_proj": 2, "o_proj": 2, "gate_proj": 2, "up_proj": 2, "down_proj": 2}
_T5 = {"q": 6, "k": 6, "v": 6, "o": 6, "wi": 4, "wo": 4}
_MT5 = {"q": 6, "k": 6, "v": 6, "o": 6, "wi_0": 4, "wi_1": 4, "wo": 4}
_BART = {"q_proj": 6, "k_proj": 6, "v_proj": 6, "out_proj": 6, "fc1": 4, "fc2": 4}
# The linear layers that LoRA adapts, counted by the last part of their names.
LAYERS: dict[str, dict[str, int]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "electra": {**_BERT, "embeddings_project": 1},
    "ernie": _BERT,
    "albert": {
        "embedding_hidden_mapping_in": 1,
        "query": 1,
        "key": 1,
        "value": 1,
        "dense": 1,
        "ffn": 1,
        "ffn_output": 1,
    },
    "deberta_v2": {"query_proj": 2, "key_proj": 2, "value_proj": 2, "pos_key_proj": 2, "pos_query_proj": 2, "dense": 6},
    "distilbert": {"q_lin": 2, "k_lin": 2, "v_lin": 2, "out_lin": 2, "lin1": 2, "lin2": 2},
    "modernbert": {"Wqkv": 2, "Wo": 4, "Wi": 2},
    "xlm_roberta": _BERT,
    "megatron_bert": _BERT,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "gpt2": {"c_attn": 2, "c_proj": 4, "c_fc": 2},
    "glm4": {"q_proj": 2, "k_proj": 2, "v_proj": 2, "o_proj": 2, "gate_up_proj": 2, "down_proj": 2},
    "t5": _T5,
    "mt5": _MT5,
    "bart": _BART,
    "pegasus": _BART,
    "mbart": _BART,
    # Text tower as BERT's with its pooler left out, image tower, and both projections.
    "chinese_clip": {
        **_BERT,
        **{"q_proj": 2, "k_proj": 2, "v_proj": 2, "out_proj": 2, "fc1": 2, "fc2": 2},
        **{"text_projection": 1, "visual_projection": 1},
    },
    # Image tower, the merger onto the language model, and the language model.
    "qwen2_5_vl": {"qkv": 2, "proj": 2, "0": 1, "2": 1, **_LLAMA, "gate_proj": 4, "up_proj": 4, "down_proj": 4},
    "qwen3_vl": {"qkv": 2, "proj": 2, "linear_fc1": 4, "linear_fc2": 4, **_LLAMA},
}
# Where the head changes what the backbone has: a pooler from the files, or T5's encoder alone.
OTHER_LAYERS: dict[tuple[str, str], dict[str, int]] = {
    ("ernie", CLASSES): {**_BERT, "dense": 7},
    ("megatron_bert", CLASSES): {**_BERT, "dense": 7},
    ("albert", CLASSES): {**LAYERS["albert"], "pooler": 1},
    ("t5", TAGS): {"q": 2, "k": 2, "v": 2, "o": 2, "wi": 2, "wo": 2},
    ("mt5", TAGS): {"q": 2, "k": 2, "v": 2, "o": 2, "wi_0": 2, "wi_1": 2, "wo": 2},
}


def test_the_list_of_architectures_is_whole() -> None:
    assert (len(ENCODERS), len(DECODERS), len(ENCODER_DECODERS), len(WITH_IMAGES)) == (10, 6, 5, 3)
    assert len(ARCHITECTURES) == len(LAYERS) == 24
    counts = Counter(auto_class for _, auto_class in CASES)
    assert counts == {CLASSES: 20, TAGS: 18, CAUSAL: 6, SEQ2SEQ: 5, EMBEDDING: 1, IMAGE_TO_TEXT: 2}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("architectures")
    return {name: save_architecture(name, root / name) for name in ARCHITECTURES}


def load(folder: str, auto_class: str, *, seed: int = 1) -> LoadedBase:
    torch.manual_seed(seed)
    return load_base(folder, revision=None, auto_class=auto_class, model_options=load_options(auto_class))


def adapted(base: LoadedBase, auto_class: str, **settings: Any) -> Any:
    return add_adapter(base, AdapterConfig(**settings), peft_task_type=PEFT_TASK_TYPES[auto_class], seed=3)


@pytest.mark.parametrize(("name", "auto_class"), CASES)
def test_lora_lands_on_the_right_layers_and_heads_are_trained_whole(
    name: str, auto_class: str, bases: dict[str, str]
) -> None:
    base = load(bases[name], auto_class)
    heads = list(ARCHITECTURES[name].heads[auto_class])
    assert head_modules(base.model, base.fresh) == heads
    whole = {f"{head}.{key}" for head in heads for key, _ in base.model.get_submodule(head).named_parameters()}
    layers = linear_layers(base.model, heads)
    expected = OTHER_LAYERS.get((name, auto_class), LAYERS[name])
    assert Counter(layer.rpartition(".")[2] for layer in layers) == expected

    model = adapted(base, auto_class)
    moving = {key.removeprefix("base_model.model."): parameter for key, parameter in trainable(model).items()}
    lora = {key for key in moving if ".lora_" in key}
    assert {key.partition(".lora_")[0] for key in lora} == set(layers)
    assert {key.replace(".modules_to_save.default", "") for key in moving.keys() - lora} == whole

    output = model.train()(**example_inputs(name, auto_class))
    scores = output.logits if "logits" in output else output.logits_per_text
    scores.square().mean().backward()
    assert [key for key, parameter in moving.items() if parameter.grad is None] == []


@pytest.fixture(scope="module")
def reloaded(bases: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A folder with the moved adapter of every case, and logits by case from before saving.

    One fresh process has loaded them all and left its own logits in `logits.safetensors`.
    """
    folder = tmp_path_factory.mktemp("adapters")
    cases, expected = [], {}
    for name, auto_class in CASES:
        case = f"{name}-{auto_class}"
        model = adapted(load(bases[name], auto_class), auto_class)
        with torch.no_grad():
            for parameter in trainable(model).values():
                parameter.add_(0.05)
        expected[case] = logits_of(model, example_inputs(name, auto_class))
        model.save_pretrained(folder / case, save_embedding_layers=False)
        cases.append((case, name, auto_class, bases[name], str(folder / case)))
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    script = Path(__file__).with_name("reload_vanilla.py")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    answer = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return folder, expected


@pytest.mark.parametrize(("name", "auto_class"), CASES)
def test_a_fresh_process_without_us_gives_the_same_logits(
    name: str, auto_class: str, bases: dict[str, str], reloaded: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    folder, expected = reloaded
    case = f"{name}-{auto_class}"
    again = load_file(folder / "logits.safetensors")[case]
    assert torch.allclose(again, expected[case], atol=1e-5)
    untouched = logits_of(load(bases[name], auto_class).model, example_inputs(name, auto_class))
    assert not torch.allclose(untouched, expected[case], atol=1e-3)


@pytest.mark.parametrize(("name", "auto_class"), CASES)
def test_an_adapter_holds_neither_embeddings_nor_what_the_base_brought(
    name: str, auto_class: str, reloaded: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    folder, _ = reloaded
    saved = load_file(folder / f"{name}-{auto_class}" / "adapter_model.safetensors")
    heads = ARCHITECTURES[name].heads[auto_class]
    others = [
        key
        for key in saved
        if ".lora_" not in key and not key.startswith(tuple(f"base_model.model.{head}." for head in heads))
    ]
    assert others == []
    assert sum(".lora_" in key for key in saved) == 2 * sum(OTHER_LAYERS.get((name, auto_class), LAYERS[name]).values())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_the_config_says_is_found(name: str, bases: dict[str, str]) -> None:
    kind = ARCHITECTURES[name]
    base = load(bases[name], next(iter(kind.heads)))
    assert base.hidden_size == 32
    tokenizer = tokenizer_of(base.tokenizer)
    assert tokenizer.padding_side == "right"
    assert base.model.config.get_text_config().pad_token_id == tokenizer.pad_token_id
    assert tokenizer.pad([{"input_ids": [5]}, {"input_ids": [5, 6]}])["attention_mask"] == [[1, 0], [1, 1]]


# Tokens that the positions of the test models leave for text; relative ones leave any number.
POSITIONS = {"roberta": 79, "xlm_roberta": 79, "t5": None, "mt5": None}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_longest_input(name: str, bases: dict[str, str]) -> None:
    base = load(bases[name], next(iter(ARCHITECTURES[name].heads)))
    assert longest_input(base, 512) == 64  # what the tokenizer says
    tokenizer_of(base.tokenizer).model_max_length = int(1e30)  # upstream's way to say that it does not know
    positions = POSITIONS.get(name, 80)
    assert longest_input(base, 512) == (512 if positions is None else positions)
    assert longest_input(base, 20) == 20
    assert longest_input(base, 20, prompts=20) == 20  # there is room for both
    if positions is not None:
        assert longest_input(base, 512, prompts=20) == positions - 20
        with pytest.raises(ConfigError, match=f"{positions - 1} "):
            longest_input(base, 512, prompts=positions - 1)
