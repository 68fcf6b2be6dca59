"""A new head starts as the linear model that fits what the base gives, where what it gives was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from architectures import save_architecture
from sklearn.linear_model import LogisticRegression, RidgeCV
from tiny import labelled_texts, save_char_tokenizer, write_csv

from qingtiao.config import AdapterConfig, RunConfig
from qingtiao.events import Started, Step
from qingtiao.models.adapter import add_adapter, trainable_state
from qingtiao.models.base import LoadedBase, load_base
from qingtiao.task import find_task
from qingtiao.train import head_start
from qingtiao.train.head_start import start_head
from qingtiao.types import Place, Row
from qingtiao.workflows.train import train


@pytest.fixture(scope="module")
def pooled_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT whose files hold its pooler: only the output layer is new."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("pooled")
    tokenizer = save_char_tokenizer(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), initializer_range=0.3, **sizes)).save_pretrained(folder)
    return str(folder)


TARGETS: dict[str, Any] = {
    "text_classification": lambda label, _: label,
    "multi_label": lambda label, text: frozenset([label, *(["长"] if len(text) > 8 else [])]),
    "regression": lambda label, text: float(len(text)) + (label == "好"),
}


def rows(task: str) -> list[Row]:
    return [
        Row(text, TARGETS[task](label, text), Place("test", index))
        for index, (text, label) in enumerate(labelled_texts())
    ]


def built(
    folder: str, task: str = "text_classification", method: str = "lora"
) -> tuple[Any, Any, list[Any], LoadedBase]:
    kind = find_task(task)
    fitted = kind.fit(rows(task), kind.Options())
    set_seed(5)
    base = load_base(folder, revision=None, auto_class=fitted.auto_class, model_options=fitted.model_options())
    features = fitted.encode(rows(task), base.tokenizer, 64)
    model = add_adapter(base, AdapterConfig(method=method), peft_task_type=fitted.peft_task_type, seed=5)
    return model, fitted, features, base


def start(model: Any, task: Any, features: list[Any], base: LoadedBase, *, seed: int = 0) -> bool:
    def collate(some: Any) -> Any:
        return task.collate(some, base.tokenizer)

    return start_head(model, task, features, collate, fresh=base.fresh, seed=seed)


@torch.no_grad()
def looked_at(model: Any, task: Any, features: list[Any], base: LoadedBase) -> tuple[Any, Any]:
    """What BERT's pooler gives, and what the model answers; rows in order."""
    model.eval()
    batch = task.collate(features, base.tokenizer)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    pooled = model.get_base_model().bert(**inputs).pooler_output
    return pooled.double().numpy(), np.stack(task.infer(model, batch)).astype(np.float64)


def comparable(vectors: Any) -> Any:
    centred = vectors - vectors.mean(axis=0)
    return centred / np.sqrt(np.square(centred).mean())


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_it_is_the_logistic_regression_of_scikit_learn(pooled_base: str, method: str) -> None:
    model, task, features, base = built(pooled_base, method=method)
    assert start(model, task, features, base)
    vectors, logits = looked_at(model, task, features, base)
    labels = [feature["labels"] for feature in features]
    expected = LogisticRegression(C=0.02).fit(comparable(vectors), labels).decision_function(comparable(vectors))
    assert logits[:, 1] - logits[:, 0] == pytest.approx(expected, abs=1e-3)
    assert np.ptp(expected) > 0.1


def test_sets_of_labels_have_a_regression_each(pooled_base: str) -> None:
    model, task, features, base = built(pooled_base, "multi_label")
    assert start(model, task, features, base)
    vectors, logits = looked_at(model, task, features, base)
    bits = np.array([feature["labels"] for feature in features])
    assert bits.shape == (120, 3)
    for output in range(3):
        fit = LogisticRegression(C=0.02).fit(comparable(vectors), bits[:, output])
        assert logits[:, output] == pytest.approx(fit.decision_function(comparable(vectors)), abs=1e-3)


def test_numbers_have_a_ridge_regression(pooled_base: str) -> None:
    model, task, features, base = built(pooled_base, "regression")
    assert start(model, task, features, base)
    vectors, answers = looked_at(model, task, features, base)
    targets = np.array([feature["labels"] for feature in features], dtype=np.float64).reshape(-1)
    expected = RidgeCV(alphas=np.logspace(0, 4, 13)).fit(comparable(vectors), targets).predict(comparable(vectors))
    assert answers.reshape(-1) == pytest.approx(expected, abs=1e-3)
    assert np.corrcoef(expected, targets)[0, 1] > 0.5


def test_the_first_losses_are_those_of_a_head_that_knows_something(pooled_base: str) -> None:
    losses = {}
    for started in (False, True):
        model, task, features, base = built(pooled_base)
        if started:
            start(model, task, features, base)
        with torch.no_grad():
            losses[started] = float(task.loss(model.eval(), task.collate(features, base.tokenizer)))
    assert losses[True] < losses[False] - 0.02


def test_nothing_moves_where_the_features_are_not_trained_or_not_one_a_row(tiny_base: str, tmp_path: Path) -> None:
    """A random pooler; a head that RoBERTa begins with a layer of its own; a decoder's, which reads every token."""
    folders = [tiny_base, *(save_architecture(name, tmp_path / name) for name in ("roberta", "qwen3"))]
    for folder in folders:
        model, task, features, base = built(folder)
        before = trainable_state(model)
        assert not start(model, task, features[:8], base)
        assert all(torch.equal(value, before[name]) for name, value in trainable_state(model).items())


def test_a_class_that_no_row_shows_is_not_more_likely_than_those_seen(pooled_base: str) -> None:
    kind = find_task("text_classification")
    task = kind.fit([*rows("text_classification"), *[Row("中", "中等", Place("x", 1))] * 2], kind.Options())
    base = load_base(pooled_base, revision=None, auto_class=task.auto_class, model_options=task.model_options())
    model = add_adapter(base, AdapterConfig(), peft_task_type=task.peft_task_type, seed=5)
    features = task.encode(rows("text_classification"), base.tokenizer, 64)
    assert start(model, task, features, base)
    _, logits = looked_at(model, task, features, base)
    absent = task.labels.index("中等")
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) != absent).all()


def test_many_rows_are_drawn_from_by_the_seed(pooled_base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_start, "_MOST_ROWS", 20)
    states = []
    for seed in (0, 0, 1):
        model, task, features, base = built(pooled_base)
        start(model, task, features, base, seed=seed)
        states.append(trainable_state(model))
    (name,) = (name for name in states[0] if name.endswith("classifier.modules_to_save.default.weight"))
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(pooled_base: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", labelled_texts())

    def config(out: str, **settings: Any) -> RunConfig:
        return RunConfig.model_validate(
            {
                "data": {"train": str(file)},
                "base": {"name": pooled_base},
                "train": {"epochs": 2, "learning_rate": 1e-3, "precision": "fp32", **settings},
                "out": str(tmp_path / out),
            }
        )

    def weights(out: str) -> bytes:
        return (tmp_path / out / "bundle" / "adapter_model.safetensors").read_bytes()

    list(train(config("whole")))
    for event in (cut := train(config("cut"))):
        if isinstance(event, Step) and event.step == 3:
            break
    cut.close()
    resumed = list(train(config("cut"), resume=True))
    assert next(event.first_step for event in resumed if isinstance(event, Started)) == 3
    assert weights("cut") == weights("whole")
    list(train(config("random", head_start="random")))
    assert weights("random") != weights("whole")
