"""One training loop for every task: a generator of events over accelerate.

Closing the generator cancels cleanly: the progress is saved at the step that was last finished. Whatever is
not a function of (settings, seed, step) is in the checkpoint, so a resumed run ends with the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from qingtiao.config import AdapterConfig, TrainConfig, resolve_auto
from qingtiao.errors import QingtiaoError
from qingtiao.events import Evaluated, Event, Finished, Saved, Started, Step
from qingtiao.models.adapter import load_trainable_state, trainable, trainable_state
from qingtiao.models.device import Precision, forked_random, memory_estimate, pick_device
from qingtiao.models.forward import Collate, Feature, autocast, length_of, run_rows
from qingtiao.models.methods import method_named, options_of
from qingtiao.models.quantise import parameter_count, weight_bytes
from qingtiao.task import Chosen, Task
from qingtiao.train.batches import Round, epoch_batches, steps_of
from qingtiao.train.checkpoint import (
    Checkpoint,
    CheckpointStore,
    Progress,
    load_optimizer_tensors,
    optimizer_tensors,
)
from qingtiao.train.head_start import start_head
from qingtiao.train.layout import lay_by_columns, lay_by_rows
from qingtiao.train.optim import adamw, scheduled_rate, set_rate
from qingtiao.train.processes import Dismissed, Group
from qingtiao.train.ranks import RankBudget
from qingtiao.train.rehearsal import rehearse
from qingtiao.types import Row


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a run with every `auto` resolved."""

    epochs: int
    learning_rate: float
    batch_size: int
    accumulation: int
    warmup: float
    weight_decay: float
    clip: float
    precision: Precision
    group_by_length: bool
    metric: Chosen
    patience: int
    seed: int
    checkpoint_seconds: float
    ratio_of_b: float = 1.0

    @classmethod
    def of(
        cls,
        settings: TrainConfig,
        *,
        adapter: AdapterConfig,
        hidden_size: int,
        rows: int,
        precision: Precision,
        metric: Chosen,
    ) -> Self:
        """`settings` for training `adapter` on `rows` rows, the best model picked by `metric`."""
        rate = method_named(adapter.method).rate_on(hidden_size)
        auto = resolve_auto(settings, rate=rate, hidden_size=hidden_size, rows=rows)
        given = settings.model_dump(exclude={"epochs", "learning_rate", "precision", "metric", "head_start"})
        _, own = options_of(adapter)
        return cls(
            epochs=auto.epochs,
            learning_rate=auto.learning_rate,
            precision=precision,
            metric=metric,
            ratio_of_b=own.get("loraplus_lr_ratio", 1.0),
            **given,
        )


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on and judged by. `dev_rows` and `dev_features` belong to one another, row by row.

    `fresh` names the parameters that are new and may be fitted before the first step; none: they start as they are.
    """

    train_features: Sequence[Feature]
    dev_features: Sequence[Feature]
    dev_rows: Sequence[Row]
    collate: Collate
    fresh: Collection[str] = ()


def train(
    model: Any, task: Task, material: Material, plan: Plan, *, store: CheckpointStore | None = None, run: str = ""
) -> Generator[Event, None, None]:
    """Train the trainable parameters of `model` in place; at the end they are those of the best epoch.

    Args:
        store: where progress is kept; None trains without a net.
        run: identifies settings and data; a checkpoint that bears another one is refused.

    Where a launcher started several processes, each calls this with the same arguments. A step sees one batch a
    process; the others than the first save nothing, and their generators end without `Finished`.

    Raises:
        ConfigError: the method cannot work on this base and task, or not in so few steps.
        RunError: the checkpoint in `store` belongs to another run.
        EnvironmentLack: the disk is full. The last whole checkpoint stays.
    """
    loop = _Loop(model, task, material, plan, store=store, run=run)
    try:
        yield from loop.events()
    except GeneratorExit:
        loop.close()
        raise
    except Dismissed:
        return
    finally:
        lay_by_rows(loop.bare)


class _Loop:
    def __init__(
        self, model: Any, task: Task, material: Material, plan: Plan, *, store: CheckpointStore | None, run: str
    ) -> None:
        self.task, self.material, self.plan, self.store = task, material, plan, store
        self.group = Group()
        spread = DistributedDataParallelKwargs()
        # Precision is our own autocast: accelerate's would stay on the model after training, and be one a process.
        self.accelerator = Accelerator(mixed_precision="no", cpu=pick_device().type == "cpu", kwargs_handlers=[spread])
        model.to(self.accelerator.device)
        features, collate = material.train_features, material.collate
        rehearse(model, task, features, collate, device=self.accelerator.device)
        if store is None or store.newest_step() == 0:  # else a checkpoint replaces every trained parameter
            start_head(model, task, features, collate, fresh=material.fresh, seed=plan.seed)
        optimizer = adamw(
            model, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay, ratio_of_b=plan.ratio_of_b
        )
        if self.accelerator.device.type == "cpu":
            lay_by_columns(model)
        self.model = self.bare = model
        self.progress = Progress(run=run)
        self.best = trainable_state(self.bare)
        self.steps_an_epoch = len(self._steps(epoch=0))
        self.total_steps = self.steps_an_epoch * plan.epochs
        self.ranks = RankBudget.of(self.bare, self.total_steps)
        if self.accelerator.use_distributed:
            spread.find_unused_parameters = self._leaves_some_untouched()
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.began = self.saved = self.first_time = time.monotonic()
        self.saved_step = -1
        self._resume()
        self.first_step = self.progress.step

    def events(self) -> Generator[Event, None, None]:
        plan, progress = self.plan, self.progress
        self.model.train()
        yield self._started()
        self.first_time = time.monotonic()
        self.group.agree(progress.step)
        first_epoch, skip = divmod(progress.step, self.steps_an_epoch)
        stopped = self._out_of_patience()
        # A checkpoint taken right at the end of an epoch may stand before the look at the dev rows.
        if skip == 0 and progress.step and len(progress.history) < first_epoch:
            yield self._evaluated()
            stopped = self._out_of_patience()
        for epoch in range(first_epoch, plan.epochs):
            if stopped:
                break
            steps = self._steps(epoch)
            for rounds in steps[skip:]:
                self.group.share(None)  # the moment at which a process may be told to leave
                self.group.reseed(plan.seed, progress.step)
                yield self._step(rounds)
                if self.store and time.monotonic() - self.saved >= plan.checkpoint_seconds:
                    yield self.save()
            skip = 0
            yield self._evaluated()
            stopped = self._out_of_patience()
            if self.store:
                yield self.save()
        self.group.part()
        load_trainable_state(self.bare, self.best)
        if self.ranks:
            self.ranks.finish()
        yield Finished(
            step=progress.step,
            best_step=progress.best_step,
            best_metric=progress.best_metric,
            seconds=self._seconds(),
            reason="early_stopping" if stopped and progress.step < self.total_steps else "done",
            history=tuple(progress.history),
        )

    def close(self) -> None:
        """Save, and let the other processes go."""
        try:
            self.save()
        finally:
            self.group.part()

    def save(self) -> Saved:
        """Put the state after the last finished step on disk, unless it is there already."""
        path = ""
        if self.store and self.progress.step != self.saved_step and self.group.leads:
            self.progress.seconds = self._seconds()
            self.began = time.monotonic()
            checkpoint = Checkpoint(
                self.progress,
                trainable_state(self.bare),
                self.best,
                optimizer_tensors(self.optimizer),
                ranks=self.ranks.state() if self.ranks else {},
            )
            try:
                path = str(self.store.save(checkpoint))
            except QingtiaoError:  # the disk is full; the other processes wait for the next step
                self.group.part()
                raise
        self.saved, self.saved_step = time.monotonic(), self.progress.step
        return Saved(step=self.progress.step, path=path)

    def _resume(self) -> None:
        checkpoint = self.store.newest(run=self.progress.run) if self.store else None
        if checkpoint is None:
            return
        self.progress = checkpoint.progress
        self.saved_step = self.progress.step
        self.best = dict(checkpoint.best)
        load_trainable_state(self.bare, checkpoint.weights)
        load_optimizer_tensors(self.optimizer, checkpoint.optimizer)
        if self.ranks:
            self.ranks.load_state(checkpoint.ranks)

    def _started(self) -> Started:
        config = self.bare.config.get_text_config()
        # Of a module that is trained whole PEFT keeps the original too.
        counted = (p for name, p in self.bare.named_parameters() if ".original_module." not in name)
        parameters = sum(parameter_count(parameter) for parameter in counted)
        moving = sum(p.numel() for p in trainable(self.bare).values())
        longest = max(length_of(feature) for feature in self.material.train_features)
        return Started(
            total_steps=self.total_steps,
            first_step=self.progress.step,
            epochs=self.plan.epochs,
            examples=len(self.material.train_features),
            trainable_parameters=moving,
            parameters=parameters,
            precision=self.plan.precision,
            device=str(self.accelerator.device),
            seconds_estimate=self._seconds_estimate(),
            memory_estimate=memory_estimate(
                weights=weight_bytes(self.bare),
                trainable=moving,
                batch_tokens=self.plan.batch_size * longest,
                hidden_size=config.hidden_size,
                layers=config.num_hidden_layers,
            ),
        )

    def _seconds_estimate(self) -> float:
        """Time of a trial batch of middling length, times the batches that are left. Leaves no trace in the run."""
        features = self.material.train_features
        batch = sorted(range(len(features)), key=lambda index: length_of(features[index]))
        middle = max(0, len(batch) // 2 - self.plan.batch_size // 2)
        trial = batch[middle : middle + self.plan.batch_size]
        with forked_random(self.accelerator.device):
            self._backward(trial, share=1.0)  # the first call sets up kernels
            started = time.monotonic()
            self._backward(trial, share=1.0)
            seconds = time.monotonic() - started
        self.optimizer.zero_grad()
        return seconds * self.plan.accumulation * (self.total_steps - self.progress.step)

    def _backward(self, batch: Sequence[int], *, share: float) -> float:
        """Add the gradient of the batch's mean loss times `share`; returns that loss."""
        inputs = self.material.collate([self.material.train_features[index] for index in batch])
        inputs = {name: tensor.to(self.accelerator.device) for name, tensor in inputs.items()}
        with autocast(self.accelerator.device, self.plan.precision):
            loss = self.task.loss(self.model, inputs)
            loss = (loss + self.ranks.penalty() if self.ranks else loss) * share
        self.accelerator.backward(loss)
        return float(loss.detach())

    def _leaves_some_untouched(self) -> bool:
        """Whether a batch gives some parameter no gradient: the processes must know, or they wait for it."""
        with forked_random(self.accelerator.device):
            self._backward([0], share=1.0)
        untouched = any(parameter.grad is None for parameter in trainable(self.bare).values())
        self.bare.zero_grad()
        return untouched or any(getattr(module, "layerdrop", 0) for module in self.bare.modules())

    def _weight(self, batch: Sequence[int]) -> int:
        """Its share in a step of several micro-batches: a mean over tokens must not become a mean of means."""
        return max(1, sum(self.task.weight(self.material.train_features[index]) for index in batch))

    def _steps(self, epoch: int) -> list[list[Round]]:
        plan = self.plan
        batches = epoch_batches(
            [length_of(feature) for feature in self.material.train_features],
            batch_size=plan.batch_size,
            seed=plan.seed,
            epoch=epoch,
            group_by_length=plan.group_by_length,
        )
        return steps_of(batches, accumulation=plan.accumulation, processes=self.group.size)

    def _step(self, rounds: Sequence[Round]) -> Step:
        started = time.monotonic()
        rate = self._learning_rate()
        weights = [[self._weight(batch) for batch in batches] for batches in rounds]
        whole = sum(map(sum, weights)) / self.group.size  # the processes' gradients are averaged, not added
        mine = self.group.index
        total = sum(
            self._backward(batches[mine], share=weight[mine] / whole)
            for batches, weight in zip(rounds, weights, strict=True)
        )
        norm = self.accelerator.clip_grad_norm_(trainable(self.bare).values(), self.plan.clip)
        self.optimizer.step()
        self.progress.step += 1
        if self.ranks:
            self.ranks.after_step(self.progress.step)
        self.optimizer.zero_grad()
        rows = sum(len(batch) for batches in rounds for batch in batches)
        seconds = max(1e-9, time.monotonic() - started)
        return self._told(self.group.mean(total), rate, float(norm), rows / seconds)

    def _told(self, loss: float, rate: float, norm: float, speed: float) -> Step:
        step = self.progress.step
        pace = (time.monotonic() - self.first_time) / (step - self.first_step)
        left = (self.total_steps - step) * pace
        return Step(step, self.total_steps, step / self.steps_an_epoch, loss, rate, norm, speed, left)

    def _learning_rate(self) -> float:
        step = self.progress.step
        warmup_steps = int(self.plan.warmup * self.total_steps)
        rate = scheduled_rate(
            step, peak=self.plan.learning_rate, warmup_steps=warmup_steps, total_steps=self.total_steps
        )
        set_rate(self.optimizer, rate)
        return rate

    def _evaluated(self) -> Evaluated:
        plan, progress = self.plan, self.progress
        metrics = self.group.share(self._dev_metrics())  # the cards may differ by rounding, and must not in a verdict
        value = metrics.get(plan.metric.name)
        better = value is None or progress.best_metric is None or _better(plan.metric, value, progress.best_metric)
        if better:
            progress.best_metric, progress.best_step = value, progress.step
            progress.epochs_without_progress = 0
            self.best = trainable_state(self.bare)
        else:
            progress.epochs_without_progress += 1
        epoch = progress.step / self.steps_an_epoch
        progress.history.append({"epoch": epoch, "step": progress.step, **metrics})
        self.saved_step = -1  # the state changed without a step
        return Evaluated(progress.step, epoch, plan.metric.name, metrics, better)

    def _dev_metrics(self) -> Mapping[str, float]:
        """Empty when there are no dev rows: then the last epoch is the best one."""
        material = self.material
        if not material.dev_rows:
            return {}
        outputs = run_rows(
            self.bare,
            material.dev_features,
            material.collate,
            self.task.judge,
            device=self.accelerator.device,
            precision=self.plan.precision,
        )
        return self.task.score(outputs, material.dev_rows)

    def _out_of_patience(self) -> bool:
        return 0 < self.plan.patience <= self.progress.epochs_without_progress

    def _seconds(self) -> float:
        return self.progress.seconds + time.monotonic() - self.began


def _better(metric: Chosen, value: float, best: float) -> bool:
    return value > best if metric.higher_is_better else value < best
