"""Probabilities of label words: a tree of tokens, told by as few passes of the model as it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qingtiao.models.label_words import forks_of, prompts_batch, readings, word_log_probabilities

END = 3
WORDS = {
    "part at once": [(5, END), (6, END), (7, 8, END)],
    "one runs on": [(5, END), (5, 6, END)],
    "a common beginning": [(9, 5, END), (9, 6, END)],
    "two forks, one path": [(5, 6, 7, END), (5, 6, 8, END), (5, 9, END)],
    "two forks apart": [(5, 6, END), (5, 7, END), (8, 6, END), (8, 7, END)],
}
PROMPTS = [[10, 11, 12, 13], [14], [15, 16, 17, 18, 19, 20, 21]]


class Padding:
    """What `prompts_batch` asks of a tokenizer."""

    def pad(self, inputs: list[dict[str, list[int]]], **_: Any) -> dict[str, torch.Tensor]:
        longest = max(len(one["input_ids"]) for one in inputs)
        ids = [one["input_ids"] for one in inputs]
        return {
            "input_ids": torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids]),
            "attention_mask": torch.tensor([[*[1] * len(one), *[0] * (longest - len(one))] for one in ids]),
        }


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 16}
    config = Qwen3Config(vocab_size=40, num_attention_heads=2, num_key_value_heads=1, initializer_range=0.5, **sizes)
    return Qwen3ForCausalLM(config).eval()


def one_by_one(model: Any, prompt: list[int], words: list[tuple[int, ...]]) -> list[float]:
    """What a decoder that may only write one of `words` gives each of them: a token at a time, a pass for each."""
    told = []
    for word in words:
        probability = 1.0
        for place, token in enumerate(word):
            allowed = sorted({other[place] for other in words if other[:place] == word[:place]})
            logits = model(input_ids=torch.tensor([[*prompt, *word[:place]]])).logits[0, -1]
            probability *= float(logits[allowed].softmax(0)[allowed.index(token)])
        told.append(probability)
    return told


@pytest.mark.parametrize("kind", WORDS)
def test_they_are_those_of_decoding_that_may_write_nothing_else(model: Any, kind: str) -> None:
    batch = prompts_batch(PROMPTS, WORDS[kind], Padding())
    with torch.inference_mode():
        told = word_log_probabilities(model, batch).exp()
        expected = torch.tensor([one_by_one(model, prompt, WORDS[kind]) for prompt in PROMPTS])
    assert told.shape == (len(PROMPTS), len(WORDS[kind]))
    assert torch.allclose(told, expected, atol=1e-5)
    assert torch.allclose(told.sum(1), torch.ones(len(PROMPTS)), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("part at once", [()]),
        ("one runs on", [(5,)]),
        ("two forks, one path", [(5, 6)]),
        ("two forks apart", [(5,), (8,)]),
    ],
)
def test_a_prompt_is_read_no_oftener_than_the_tree_needs(kind: str, passes: list[tuple[int, ...]]) -> None:
    assert readings(forks_of(WORDS[kind])) == passes
    assert len(prompts_batch(PROMPTS, WORDS[kind], Padding())["input_ids"]) == len(PROMPTS) * len(passes)


def test_gradients_reach_the_model_through_every_fork(model: Any) -> None:
    batch = prompts_batch(PROMPTS, WORDS["two forks apart"], Padding())
    loss = -word_log_probabilities(model, batch)[:, 3].mean()
    (gradient,) = torch.autograd.grad(loss, [model.get_input_embeddings().weight])
    assert all(gradient[token].abs().sum() > 0 for token in (8, *PROMPTS[0]))
    assert gradient[30].abs().sum() == 0 or model.config.tie_word_embeddings
