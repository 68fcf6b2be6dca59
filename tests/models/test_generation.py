"""Answers of causal language models: how likely known ones are, and new ones whole or as they come."""

from __future__ import annotations

import copy
import threading
from contextlib import closing
from typing import Any

import pytest
import torch
from templates import byte_tokenizer

from qingtiao.models.causal import IGNORED, log_likelihoods, logits_at
from qingtiao.models.generation import Sampling, generate, stream, text_of

GREEDY = Sampling(temperature=0, top_p=1, repetition_penalty=1, seed=1)
LIVELY = Sampling(temperature=1.5, top_p=0.95, repetition_penalty=1.1, seed=1)
STOP = [3]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "head_dim": 16}
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            initializer_range=0.4,
            tie_word_embeddings=False,
            **sizes,
        )
    ).eval()


def prompts(tokenizer: Any, *texts: str) -> dict[str, torch.Tensor]:
    return dict(tokenizer(list(texts), padding=True, padding_side="left", return_tensors="pt"))


def batch_of(tokenizer: Any) -> dict[str, torch.Tensor]:
    batch = dict(tokenizer(["你好，今天冷吗？有点冷。", "短"], padding=True, return_tensors="pt"))
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
    labels[0, :20] = IGNORED
    labels[1, :1] = IGNORED
    return {**batch, "labels": labels}


def test_likelihoods_are_those_of_the_loss_of_transformers(model: Any, tokenizer: Any) -> None:
    batch = batch_of(tokenizer)
    with torch.inference_mode():
        chosen, mask = log_likelihoods(model, batch)
        expected = float(model(**batch).loss)
    assert mask.sum() == (batch["labels"] != IGNORED).sum()
    assert float(-(chosen * mask).sum() / mask.sum()) == pytest.approx(expected, abs=1e-5)


def test_a_model_that_cannot_keep_some_logits_alone_is_read_alike(model: Any, tokenizer: Any) -> None:
    class Whole(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any, use_cache: bool) -> Any:
            return model(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    batch = batch_of(tokenizer)
    told, expected = log_likelihoods(Whole(), batch), log_likelihoods(model, batch)
    assert torch.allclose(told[0], expected[0], atol=1e-5)
    assert torch.equal(told[1], expected[1])


def test_tokens_that_an_adapter_puts_before_the_text_move_no_position(model: Any, tokenizer: Any) -> None:
    from peft import PromptTuningConfig, get_peft_model

    inputs = {name: batch_of(tokenizer)[name] for name in ("input_ids", "attention_mask")}
    positions = torch.tensor([0, 5, 11])
    tuned = get_peft_model(copy.deepcopy(model), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)).eval()
    with torch.inference_mode():
        whole = tuned(**inputs).logits
        assert whole.shape[1] == inputs["input_ids"].shape[1] + 4
        assert torch.allclose(logits_at(tuned, inputs, positions), whole[:, 4 + positions], atol=1e-5)
        with tuned.disable_adapter():
            bare = logits_at(tuned, inputs, positions)
        assert torch.allclose(bare, logits_at(model, inputs, positions), atol=1e-5)


def test_a_model_spread_over_devices_computes_no_more_logits_than_are_looked_at(model: Any, tokenizer: Any) -> None:
    from peft import LoraConfig, get_peft_model

    inputs = {name: batch_of(tokenizer)[name] for name in ("input_ids", "attention_mask")}
    tuned = get_peft_model(copy.deepcopy(model), LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")).eval()
    computed: list[int] = []
    tuned.get_output_embeddings().register_forward_hook(lambda *told: computed.append(told[-1].shape[1]))
    with torch.inference_mode():
        for whole in (tuned, torch.nn.DataParallel(tuned)):
            logits_at(whole, inputs, torch.tensor([0, 5, 11]))
    assert computed == [3, 3]


@pytest.mark.parametrize("sampling", [GREEDY, LIVELY])
def test_pieces_join_to_the_whole(model: Any, tokenizer: Any, sampling: Sampling) -> None:
    inputs = prompts(tokenizer, "你好")
    (ids,) = generate(model, inputs, new_tokens=60, stop_ids=STOP, sampling=sampling)
    pieces = list(stream(model, inputs, tokenizer, new_tokens=60, stop_ids=STOP, sampling=sampling))
    assert "".join(pieces) == text_of(tokenizer, ids)
    assert len(pieces) > 3
    assert all(pieces)


def test_the_same_seed_says_the_same_and_leaves_the_dice_of_others_alone(model: Any, tokenizer: Any) -> None:
    inputs = prompts(tokenizer, "你好")

    def said(seed: int) -> list[list[int]]:
        lively = Sampling(temperature=1.5, top_p=1, repetition_penalty=1, seed=seed)
        return generate(model, inputs, new_tokens=20, stop_ids=STOP, sampling=lively)

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert said(1) == said(1) != said(2)
    assert torch.equal(torch.rand(3), expected)


def test_it_ends_where_it_is_told_to(model: Any, tokenizer: Any) -> None:
    inputs = prompts(tokenizer, "你好")
    (free,) = generate(model, inputs, new_tokens=12, stop_ids=STOP, sampling=GREEDY)
    assert 1 < len(free) <= 12
    (short,) = generate(model, inputs, new_tokens=12, stop_ids=[free[1], 3], sampling=GREEDY)
    assert short == free[: free.index(free[1])]


def test_a_prompt_says_the_same_among_longer_ones(model: Any, tokenizer: Any) -> None:
    alone = generate(model, prompts(tokenizer, "短"), new_tokens=10, stop_ids=STOP, sampling=GREEDY)
    among = generate(model, prompts(tokenizer, "短", "一句长得多的话"), new_tokens=10, stop_ids=STOP, sampling=GREEDY)
    assert among[0] == alone[0]


def test_positions_set_the_limit(model: Any, tokenizer: Any) -> None:
    inputs = prompts(tokenizer, "a" * 250)
    (ids,) = generate(model, inputs, new_tokens=60, stop_ids=[3], sampling=GREEDY)
    assert len(ids) <= 6


def test_who_has_heard_enough_stops_the_model(model: Any, tokenizer: Any) -> None:
    with closing(
        stream(model, prompts(tokenizer, "你好"), tokenizer, new_tokens=200, stop_ids=STOP, sampling=GREEDY)
    ) as pieces:
        next(pieces)
        assert any(thread.name == "qingtiao-writer" for thread in threading.enumerate())
    assert not any(thread.name == "qingtiao-writer" for thread in threading.enumerate())


def test_what_goes_wrong_in_the_model_is_raised_to_the_reader(model: Any, tokenizer: Any) -> None:
    inputs = {"input_ids": torch.tensor([[len(tokenizer) + 5]]), "attention_mask": torch.ones(1, 1, dtype=torch.long)}
    with pytest.raises(IndexError):
        list(stream(model, inputs, tokenizer, new_tokens=5, stop_ids=STOP, sampling=GREEDY))
