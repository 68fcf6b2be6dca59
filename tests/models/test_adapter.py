"""LoRA lands on the right layers and every new head is trained and saved, on real architectures at tiny size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import save_char_tokenizer

from qingtiao.config import AdapterConfig
from qingtiao.errors import BaseModelError, ConfigError
from qingtiao.models.adapter import add_adapter, head_modules, linear_layers, trainable
from qingtiao.models.base import load_base, longest_input

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}
OPTIONS = {"num_labels": 3, "id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}


def _bert(v: int) -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(vocab_size=v, **SIZES), add_pooling_layer=False)


def _roberta(v: int) -> Any:
    from transformers import RobertaConfig, RobertaModel

    return RobertaModel(RobertaConfig(vocab_size=v, pad_token_id=0, **SIZES), add_pooling_layer=False)


def _electra(v: int) -> Any:
    from transformers import ElectraConfig, ElectraModel

    return ElectraModel(ElectraConfig(vocab_size=v, embedding_size=16, **SIZES))


def _ernie(v: int) -> Any:
    from transformers import ErnieConfig, ErnieModel

    return ErnieModel(ErnieConfig(vocab_size=v, **SIZES))


def _deberta(v: int) -> Any:
    from transformers import DebertaV2Config, DebertaV2Model

    return DebertaV2Model(DebertaV2Config(vocab_size=v, relative_attention=True, pos_att_type=["p2c", "c2p"], **SIZES))


def _distilbert(v: int) -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=v, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=80)
    return DistilBertModel(config)


def _modernbert(v: int) -> Any:
    from transformers import ModernBertConfig, ModernBertModel

    special = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    return ModernBertModel(ModernBertConfig(vocab_size=v, **SIZES, **special))


def _qwen3(v: int) -> Any:
    from transformers import Qwen3Config, Qwen3Model

    special = {"pad_token_id": None, "bos_token_id": 2, "eos_token_id": 3}
    return Qwen3Model(Qwen3Config(vocab_size=v, num_key_value_heads=2, head_dim=16, **SIZES, **special))


# Architecture, and the modules that must be saved whole.
ARCHITECTURES: dict[str, tuple[Callable[[int], Any], list[str]]] = {
    "bert": (_bert, ["bert.pooler", "classifier"]),
    "roberta": (_roberta, ["classifier"]),
    "electra": (_electra, ["classifier"]),
    "ernie": (_ernie, ["classifier"]),
    "deberta_v2": (_deberta, ["classifier", "pooler"]),
    "distilbert": (_distilbert, ["classifier", "pre_classifier"]),
    "modernbert": (_modernbert, ["classifier", "head"]),
    "qwen3": (_qwen3, ["score"]),
}


def test_the_list_of_architectures_is_whole() -> None:
    assert len(ARCHITECTURES) == 8


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, list[str]]:
    build, heads = ARCHITECTURES[request.param]
    folder = tmp_path / request.param
    tokenizer = save_char_tokenizer(folder)
    torch.manual_seed(0)
    build(len(tokenizer)).save_pretrained(folder)
    return str(folder), heads


def load(folder: str) -> Any:
    torch.manual_seed(1)
    return load_base(folder, revision=None, auto_class="AutoModelForSequenceClassification", model_options=OPTIONS)


def test_heads_are_found_and_layers_adapted(architecture: tuple[str, list[str]]) -> None:
    folder, heads = architecture
    base = load(folder)
    assert head_modules(base.model, base.fresh) == heads
    layers = linear_layers(base.model, heads)
    assert len(layers) >= 2 * 4  # at least query, key, value or their fusion, and the feed-forward, in two layers
    model = add_adapter(base, AdapterConfig(), peft_task_type="SEQ_CLS", seed=3)
    moving = trainable(model)
    for name in moving:
        assert "lora_" in name or "modules_to_save" in name
    for head in heads:
        assert any(f"{head}.modules_to_save" in name for name in moving), head
        assert not any(head in name and "lora_" in name for name in moving), head
    adapted = {name.split(".lora_")[0] for name in moving if "lora_" in name}
    assert len(adapted) == len(layers)


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_a_saved_adapter_reloads_to_the_same_logits(
    architecture: tuple[str, list[str]], method: str, tmp_path: Path
) -> None:
    from peft import PeftModel

    folder, _ = architecture
    model = add_adapter(load(folder), AdapterConfig(method=method), peft_task_type="SEQ_CLS", seed=3)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(0.1)
    inputs = {"input_ids": torch.tensor([[2, 7, 9, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    expected = model.eval()(**inputs).logits
    model.save_pretrained(tmp_path / "adapter")
    torch.manual_seed(77)  # other random heads than the ones it was trained with
    fresh = load_base(folder, revision=None, auto_class="AutoModelForSequenceClassification", model_options=OPTIONS)
    again = PeftModel.from_pretrained(fresh.model, str(tmp_path / "adapter")).eval()(**inputs).logits
    assert torch.allclose(again, expected, atol=1e-6)


def test_full_trains_every_parameter_once_and_head_the_heads(architecture: tuple[str, list[str]]) -> None:
    folder, heads = architecture
    counts = {name: p.numel() for name, p in load(folder).model.named_parameters()}
    expected = {
        "full": sum(counts.values()),
        "head": sum(n for name, n in counts.items() if any(name.startswith(f"{head}.") for head in heads)),
    }
    for method, count in expected.items():
        model = add_adapter(load(folder), AdapterConfig(method=method), peft_task_type="SEQ_CLS", seed=3)
        assert sum(p.numel() for p in trainable(model).values()) == count, method


def test_the_seed_alone_decides_where_it_starts(tiny_base: str) -> None:
    states = []
    for _ in range(2):
        model = add_adapter(load(tiny_base), AdapterConfig(), peft_task_type="SEQ_CLS", seed=3)
        states.append(trainable(model))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_roberta_positions_reserve_their_padding_rows(tmp_path: Path) -> None:
    tokenizer = save_char_tokenizer(tmp_path)
    _roberta(len(tokenizer)).save_pretrained(tmp_path)
    base = load(str(tmp_path))
    base.tokenizer.model_max_length = 10_000
    assert longest_input(base, 512) == 80 - 1
    assert longest_input(base, 20) == 20


def test_a_tokenizer_without_padding_gets_some(tmp_path: Path) -> None:
    tokenizer = save_char_tokenizer(tmp_path, bos_eos=True)
    _qwen3(len(tokenizer)).save_pretrained(tmp_path)
    base = load(str(tmp_path))
    assert base.tokenizer.pad_token == "[SEP]"
    assert base.model.config.pad_token_id == base.tokenizer.pad_token_id


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
        add_adapter(load(tiny_base), AdapterConfig(**settings), peft_task_type="SEQ_CLS", seed=3)


def test_other_methods_need_no_code(tiny_base: str) -> None:
    config = AdapterConfig(options={"use_dora": True})
    dora = trainable(add_adapter(load(tiny_base), config, peft_task_type="SEQ_CLS", seed=3))
    assert any("lora_magnitude_vector" in name for name in dora)


def test_unknown_bases_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="mini-zh"):
        load("mini_zh/")
    with pytest.raises(BaseModelError, match=r"config\.json"):
        load(str(tmp_path))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    from transformers import BertConfig

    tokenizer = save_char_tokenizer(tmp_path)
    _distilbert(len(tokenizer)).save_pretrained(tmp_path)
    BertConfig(vocab_size=len(tokenizer), **SIZES).save_pretrained(tmp_path)
    with pytest.raises(BaseModelError, match="权重"):
        load(str(tmp_path))
