"""What an adapter is put on: heads by structure, layers by what they are, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import (
    CAUSAL,
    CLASSES,
    PEFT_TASK_TYPES,
    SEQ2SEQ,
    build_architecture,
    example_inputs,
    load_options,
    logits_of,
    save_architecture,
)
from tiny import save_byte_tokenizer, save_char_tokenizer

from qingtiao.config import AdapterConfig
from qingtiao.errors import BaseModelError, ConfigError
from qingtiao.models.adapter import add_adapter, head_modules, trainable
from qingtiao.models.base import LoadedBase, load_base


def load(folder: str, auto_class: str = CLASSES, *, seed: int = 1) -> LoadedBase:
    torch.manual_seed(seed)
    return load_base(folder, revision=None, auto_class=auto_class, model_options=load_options(auto_class))


def adapted(base: LoadedBase, auto_class: str = CLASSES, **settings: Any) -> Any:
    return add_adapter(base, AdapterConfig(**settings), peft_task_type=PEFT_TASK_TYPES[auto_class], seed=3)


# Heads inside the backbone, beside it, several of them, and of decoders and encoder-decoders.
@pytest.fixture(params=["bert", "deberta_v2", "distilbert", "modernbert", "qwen3", "bart"])
def classifier(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    return request.param, save_architecture(request.param, tmp_path / "base")


@pytest.mark.parametrize("method", ["full", "head"])
def test_modules_trained_whole_reload_to_the_same_logits(
    classifier: tuple[str, str], method: str, tmp_path: Path
) -> None:
    from peft import PeftModel

    name, folder = classifier
    model = adapted(load(folder), method=method)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(0.05)
    inputs = example_inputs(name, CLASSES)
    expected = logits_of(model, inputs)
    model.save_pretrained(tmp_path / "adapter")
    other_heads = load(folder, seed=77)
    again = logits_of(PeftModel.from_pretrained(other_heads.model, str(tmp_path / "adapter")), inputs)
    assert torch.allclose(again, expected, atol=1e-5)


def test_full_trains_every_parameter_once_and_head_the_heads(classifier: tuple[str, str]) -> None:
    _, folder = classifier
    base = load(folder)
    heads = head_modules(base.model, base.fresh)
    counts = {name: p.numel() for name, p in base.model.named_parameters()}
    expected = {
        "full": sum(counts.values()),
        "head": sum(n for name, n in counts.items() if any(name.startswith(f"{head}.") for head in heads)),
    }
    for method, count in expected.items():
        model = adapted(load(folder), method=method)
        assert sum(p.numel() for p in trainable(model).values()) == count, method


def test_a_head_that_came_with_the_files_is_trained_too(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    save_architecture("bert", tmp_path)
    BertForSequenceClassification.from_pretrained(tmp_path, num_labels=3).save_pretrained(tmp_path)
    base = load(str(tmp_path))
    assert base.fresh == ()
    assert head_modules(base.model, base.fresh) == ["classifier"]
    assert sum("classifier.modules_to_save" in key for key in trainable(adapted(base))) == 2


def test_a_head_of_another_size_is_made_anew(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    save_architecture("bert", tmp_path)
    BertForSequenceClassification.from_pretrained(tmp_path, num_labels=5).save_pretrained(tmp_path)
    base = load(str(tmp_path))
    assert base.fresh == ("classifier.bias", "classifier.weight")
    assert base.model.classifier.out_features == 3


@pytest.mark.parametrize(
    ("name", "auto_class", "body", "heads"),
    [
        ("llama", CAUSAL, "model", ["lm_head"]),  # its own tensor, missing from the files
        ("qwen3", CAUSAL, "model", []),  # the same tensor as the input embeddings
        ("bart", SEQ2SEQ, "model", []),  # so too, beside a buffer of zeros that is missing
    ],
)
def test_output_embeddings_are_trained_only_where_the_files_lack_them(
    name: str, auto_class: str, body: str, heads: list[str], tmp_path: Path
) -> None:
    tokenizer = save_byte_tokenizer(tmp_path)
    whole = build_architecture(name, vocabulary=len(tokenizer))
    getattr(whole, body).save_pretrained(tmp_path)
    base = load(str(tmp_path), auto_class)
    assert head_modules(base.model, base.fresh) == heads
    moving = trainable(adapted(base, auto_class))
    assert any("lm_head" in key for key in moving) is bool(heads)
    assert not any("lm_head" in key and "lora_" in key for key in moving)


def test_a_new_parameter_without_a_module_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_architecture("chinese_clip", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["logit_scale"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    base = load(str(tmp_path), "AutoModel")
    with pytest.raises(BaseModelError, match="logit_scale"):
        head_modules(base.model, base.fresh)


def test_embeddings_are_adapted_where_nothing_shares_them(tmp_path: Path) -> None:
    save_architecture("qwen3", tmp_path)
    settings = {"target_modules": "all-linear+embeddings"}
    moving = trainable(adapted(load(str(tmp_path)), **settings))
    assert any("embed_tokens.lora_embedding_A" in key for key in moving)
    with pytest.raises(ConfigError, match="lm_head"):
        adapted(load(str(tmp_path), CAUSAL), CAUSAL, **settings)


def test_the_seed_alone_decides_where_it_starts(tiny_base: str) -> None:
    states = [trainable(adapted(load(tiny_base))) for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "lroa"}, "lora"),
        ({"options": {"use_dorra": True}}, "use_dora"),
        ({"method": "full", "options": {"use_dora": True}}, "use_dora"),
        ({"target_modules": ("no_such_layer",)}, "no_such_layer"),
    ],
)
def test_what_peft_does_not_know_is_refused(tiny_base: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        adapted(load(tiny_base), **settings)


def test_other_methods_need_no_code(tiny_base: str) -> None:
    dora = trainable(adapted(load(tiny_base), options={"use_dora": True}))
    assert any("lora_magnitude_vector" in name for name in dora)


def test_unknown_bases_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="mini-zh"):
        load("mini_zh/")
    with pytest.raises(BaseModelError, match=r"config\.json"):
        load(str(tmp_path))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    tokenizer = save_char_tokenizer(tmp_path)
    build_architecture("distilbert", vocabulary=len(tokenizer)).save_pretrained(tmp_path)
    build_architecture("bert", vocabulary=len(tokenizer)).config.save_pretrained(tmp_path)
    with pytest.raises(BaseModelError, match="权重"):
        load(str(tmp_path))
