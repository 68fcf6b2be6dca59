"""The training loop: it learns, equals `transformers.Trainer`, stops and resumes to the same weights."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed
from tiny import labelled_texts

from qingtiao.config import AdapterConfig
from qingtiao.errors import RunError
from qingtiao.events import Evaluated, Finished, Saved, Started, Step
from qingtiao.models.adapter import add_adapter, trainable_state
from qingtiao.models.base import load_base
from qingtiao.task import Chosen, find_task
from qingtiao.train.batches import epoch_batches
from qingtiao.train.checkpoint import CheckpointStore
from qingtiao.train.layout import thin_weights
from qingtiao.train.loop import Material, Plan, train
from qingtiao.types import Place, Row

PLAN = Plan(
    epochs=3,
    learning_rate=5e-3,
    batch_size=8,
    accumulation=1,
    warmup=0.1,
    weight_decay=0.01,
    clip=1.0,
    precision="fp32",
    group_by_length=True,
    metric=Chosen("macro_f1", True),
    patience=0,
    seed=7,
    checkpoint_seconds=1e9,
)


def rows() -> list[Row]:
    return [Row(text, label, Place("test", index)) for index, (text, label) in enumerate(labelled_texts())]


def setup(base_path: str, **adapter: Any) -> tuple[Any, Any, Material, Any]:
    kind = find_task("text_classification")
    task = kind.fit(rows(), kind.Options())
    set_seed(7)
    base = load_base(base_path, revision=None, auto_class=task.auto_class, model_options=task.model_options())
    model = add_adapter(base, AdapterConfig(**adapter), peft_task_type=task.peft_task_type, seed=7)
    train_rows, dev_rows = rows()[:96], rows()[96:]
    material = Material(
        train_features=task.encode(train_rows, base.tokenizer, 32),
        dev_features=task.encode(dev_rows, base.tokenizer, 32),
        dev_rows=dev_rows,
        collate=lambda features: task.collate(features, base.tokenizer),
    )
    return model, task, material, base


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_learns_and_tells_what_it_does(tiny_base: str) -> None:
    model, task, material, _ = setup(tiny_base)
    events = list(train(model, task, material, replace(PLAN, epochs=10)))
    kinds = [type(event) for event in events]
    assert kinds[0] is Started and kinds[-1] is Finished
    assert kinds.count(Step) == 10 * 12 and kinds.count(Evaluated) == 10
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert sum(losses[-12:]) < 0.6 * sum(losses[:12])
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.best_metric is not None and finished.best_metric > 0.7
    assert len(finished.history) == 10


def test_losses_equal_those_of_the_transformers_trainer(tiny_base: str, tmp_path: Path) -> None:
    """Same seed, same order of rows, dropout on: every step's loss is the same."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments

    plan = replace(PLAN, epochs=1, group_by_length=False)
    model, task, material, _ = setup(tiny_base)
    loop = train(model, task, material, plan)
    next(loop)
    set_seed(11)
    ours = [event.loss for event in loop if isinstance(event, Step)]

    model, task, material, _ = setup(tiny_base)
    lengths = [len(feature["input_ids"]) for feature in material.train_features]
    order = itertools.chain.from_iterable(
        epoch_batches(lengths, batch_size=plan.batch_size, seed=plan.seed, epoch=0, group_by_length=False)
    )
    ordered = [material.train_features[index] for index in order]

    class SeedFirstStep(TrainerCallback):
        """Its data loader draws from the global generator before the first step; ours does not."""

        def on_step_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step == 0:
                set_seed(11)

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(ordered)

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=plan.batch_size,
        num_train_epochs=1,
        learning_rate=plan.learning_rate,
        warmup_steps=int(plan.warmup * 12),
        weight_decay=plan.weight_decay,
        max_grad_norm=plan.clip,
        lr_scheduler_type="linear",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        seed=11,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    trainer = InOrder(
        model=model,
        args=arguments,
        train_dataset=ordered,
        data_collator=material.collate,
        callbacks=[SeedFirstStep()],
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(ours) == len(theirs) == 12
    assert ours == pytest.approx(theirs, abs=2e-4)  # the Trainer rounds its log to four places


def test_accumulated_halves_equal_whole_batches(tiny_base: str) -> None:
    """Without dropout two batches of four give the gradient of one of eight; the last pair is uneven."""
    losses = []
    for batch_size, accumulation in ((8, 1), (4, 2)):
        model, task, material, _ = setup(tiny_base, dropout=0.0)
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        uneven = replace(material, train_features=material.train_features[:94])
        plan = replace(PLAN, epochs=1, group_by_length=False, batch_size=batch_size, accumulation=accumulation)
        losses.append([event.loss for event in train(model, task, uneven, plan) if isinstance(event, Step)])
    assert len(losses[0]) == 12
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


# With a rank of 2 every B matrix of the tiny base is thin enough to be laid by columns, its moments like it.
@pytest.mark.parametrize(("stop_after", "rank"), [(1, 8), (5, 8), (12, 8), (13, 8), (30, 8), (36, 8), (5, 2), (24, 2)])
def test_resuming_ends_with_the_same_weights_bit_for_bit(
    tiny_base: str, tmp_path: Path, stop_after: int, rank: int
) -> None:
    def fresh() -> tuple[Any, Any, Material]:
        model, task, material, _ = setup(tiny_base, r=rank)
        # Without dev rows the last weights are kept; the best of a few epochs would hide what happens after it.
        return model, task, replace(material, dev_features=(), dev_rows=())

    model, task, material = fresh()
    list(train(model, task, material, PLAN))
    whole = trainable_state(model)

    store = CheckpointStore(tmp_path)
    model, task, material = fresh()
    loop = train(model, task, material, PLAN, store=store, run="r")
    for event in loop:
        if isinstance(event, Step) and event.step == stop_after:
            break
    loop.close()
    assert store.newest_step() == stop_after

    model, task, material = fresh()
    torch.manual_seed(99)  # whatever the new process did before must not matter
    events = list(train(model, task, material, PLAN, store=store, run="r"))
    assert isinstance(events[0], Started) and events[0].first_step == stop_after
    assert same(trainable_state(model), whole)


@pytest.mark.parametrize("whole", [True, False])
def test_thin_matrices_lie_by_columns_while_they_are_trained(tiny_base: str, *, whole: bool) -> None:
    model, task, material, _ = setup(tiny_base, r=2)
    thin = thin_weights(model)
    adapted = [module.lora_B["default"].weight for module in model.modules() if hasattr(module, "lora_B")]
    assert {id(weight) for weight in thin} == {id(weight) for weight in adapted}
    loop = train(model, task, material, replace(PLAN, epochs=1))
    next(loop)
    assert not any(weight.is_contiguous() for weight in thin)
    if whole:
        list(loop)
    loop.close()
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_how_often_it_saves_changes_nothing(tiny_base: str, tmp_path: Path) -> None:
    states = []
    for name, seconds in (("seldom", 1e9), ("always", 0.0)):
        model, task, material, _ = setup(tiny_base)
        plan = replace(PLAN, checkpoint_seconds=seconds)
        events = list(train(model, task, material, plan, store=CheckpointStore(tmp_path / name), run="r"))
        states.append((trainable_state(model), sum(isinstance(event, Saved) for event in events)))
    assert same(states[0][0], states[1][0])
    assert states[1][1] > 30 > states[0][1]


def test_progress_of_another_run_is_refused(tiny_base: str, tmp_path: Path) -> None:
    model, task, material, _ = setup(tiny_base)
    store = CheckpointStore(tmp_path)
    loop = train(model, task, material, PLAN, store=store, run="one")
    next(loop), next(loop)
    loop.close()
    with pytest.raises(RunError, match="另一份设置、另一份数据"):
        next(train(model, task, material, PLAN, store=store, run="two"))


def test_stops_early_and_keeps_the_best(tiny_base: str) -> None:
    model, task, material, _ = setup(tiny_base)
    # A rate of zero makes no progress at all after the first look.
    events = list(train(model, task, material, replace(PLAN, learning_rate=0.0, epochs=9, patience=2)))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "early_stopping" and finished.step == 3 * 12 and finished.best_step == 12


def test_without_dev_rows_the_last_epoch_is_kept(tiny_base: str) -> None:
    model, task, material, _ = setup(tiny_base)
    blind = replace(material, dev_features=[], dev_rows=[])
    finished = list(train(model, task, blind, replace(PLAN, epochs=2)))[-1]
    assert isinstance(finished, Finished)
    assert finished.best_step == finished.step == 24 and finished.best_metric is None
