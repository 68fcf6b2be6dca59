"""`train`: from a config to a proved bundle and an honest report, as a generator of events."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from accelerate.utils import set_seed

from qingtiao.bundle import Manifest, read_manifest, save_bundle, write_manifest
from qingtiao.config import RunConfig
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError, QingtiaoError
from qingtiao.evaluate.html import render_html
from qingtiao.evaluate.judging import AnyReport
from qingtiao.evaluate.report import About
from qingtiao.events import Audited, Encoded, Event, Finished, Phase, Proved, Quantised, Started
from qingtiao.files import atomic_write_text, disk_errors_as_ours, sync_folder
from qingtiao.models.adapter import add_adapter
from qingtiao.models.base import LoadedBase, load_base, longest_input
from qingtiao.models.device import pick_device, pick_precision
from qingtiao.models.methods import prompt_length
from qingtiao.models.quantise import check_quantising, quantise, refuse_unfit
from qingtiao.proof import prove
from qingtiao.publish.card import model_card
from qingtiao.task import Chosen, Task, choosing_score, find_task
from qingtiao.train.checkpoint import CheckpointStore
from qingtiao.train.loop import Material, Plan
from qingtiao.train.loop import train as train_loop
from qingtiao.train.processes import Dismissed, Group
from qingtiao.train.trackers import Tracker, open_trackers
from qingtiao.workflows.folder import claimed, open_folder
from qingtiao.workflows.material import Prepared, fitted, naming_sample, prepare
from qingtiao.workflows.scorer import Scorer

_PROOF_ROWS = 32
_OTHERS_PATIENCE = 20.0  # seconds
_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished run left."""

    bundle: Path
    report: AnyReport
    report_json: Path
    report_html: Path


def train(config: RunConfig, *, resume: bool = False, overwrite: bool = False) -> Generator[Event, None, TrainResult]:
    """Run `config`, yielding events; the value returned at the end says where things are.

    Closing the generator saves progress first. With `resume` a run goes on from its newest checkpoint, or begins
    when there is none; without, a folder that already holds a run is refused unless `overwrite` empties it. Of several
    processes that a launcher started, the first calls this, and each of the others `assist`.

    Raises:
        RunError: the folder holds another run, or another process is at work in it.
        QingtiaoError: whatever the layers below refuse.
    """
    out = Path(config.out)
    group = Group()
    with claimed(out):
        config = group.share(open_folder(out, config, resume=resume, overwrite=overwrite))
        run = _Run(config, out, group)
        store = CheckpointStore(out / "checkpoints")
        trackers = open_trackers(out, resume_from=store.newest_step() if resume else None)
        try:
            return (yield from _tracked(run.events(store), trackers))
        finally:
            for tracker in trackers:
                tracker.close()


def assist() -> Generator[Event, None, None]:
    """Do this process's share of the run that `train` does in the first process of the group.

    Raises:
        QingtiaoError: what the first process did not meet itself.
    """
    group = Group()
    with suppress(Dismissed):
        config = group.share(cast("RunConfig", None))
        run = _Run(config, Path(config.out), group)
        try:
            yield from run.trained(CheckpointStore(run.out / "checkpoints"))
        except QingtiaoError:
            # The first process should meet the same, tell it, and have its launcher end us while we sleep.
            time.sleep(_OTHERS_PATIENCE)
            raise


def _tracked(
    events: Generator[Event, None, TrainResult], trackers: Sequence[Tracker]
) -> Generator[Event, None, TrainResult]:
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return cast("TrainResult", stop.value)
            for tracker in trackers:
                tracker.track(event)
            yield event


@dataclass(frozen=True, slots=True)
class _Trained:
    prepared: Prepared
    task: Task
    base: LoadedBase
    model: Any
    max_length: int
    share: float
    seconds: float
    dev: Sequence[Mapping[str, float]]


class _Run:
    def __init__(self, config: RunConfig, out: Path, group: Group) -> None:
        self.config, self.out, self.group = config, out, group
        self.device = pick_device()
        self.precision = pick_precision(config.train.precision, self.device)  # already chosen: "auto" is not stored
        self.normaliser = Normaliser(config.normalise)

    def events(self, store: CheckpointStore) -> Generator[Event, None, TrainResult]:
        config = self.config
        trained = yield from self.trained(store)
        prepared, base, model = trained.prepared, trained.base, trained.model

        yield Phase("evaluate")
        scorer = Scorer(trained.task, base, model, max_length=trained.max_length, device=self.device)
        task = scorer.tune(prepared)
        report = scorer.report(
            prepared, self._about(trained), threshold=config.data.near_duplicate, seed=config.train.seed
        )

        yield Phase("bundle")
        unproved = self.out / ".bundle.tmp"
        shutil.rmtree(unproved, ignore_errors=True)
        manifest = self._manifest(task, base, prepared, report, max_length=trained.max_length)
        save_bundle(unproved, model=model, tokenizer=base.tokenizer, manifest=manifest)

        yield Phase("proof")
        rows = (prepared.dataset.test or prepared.dataset.train)[:_PROOF_ROWS]
        difference = prove(unproved, rows, scorer.judge(rows))
        yield Proved(str(self.out / "bundle"), difference)
        return self._publish(unproved, task, report, difference)

    def trained(self, store: CheckpointStore) -> Generator[Event, None, _Trained]:
        """All that every process of the run does."""
        config = self.config
        # A slip of the pen is told before the data is read.
        check_quantising(config.base.quantize, config.adapter)
        yield Phase("data")
        metric = choosing_score(find_task(config.task), config.train.metric)
        prepared = self._prepare()
        yield Phase("audit")
        yield Audited(prepared.audit.as_json())
        with naming_sample(config.data):  # unknown labels are refused before hours of work
            task = fitted(prepared.dataset, task=config.task, task_options=config.task_options)

        yield Phase("base")
        base, model, max_length = yield from self._model(task)

        yield Phase("train")
        material, encoded = self._material(task, base, prepared, max_length)
        yield encoded
        plan, identity = self._plan(base, prepared, metric), self._identity(base, prepared)
        share, seconds = 0.0, 0.0
        dev: tuple[Mapping[str, float], ...] = ()
        with closing(train_loop(model, task, material, plan, store=store, run=identity)) as loop:
            for event in loop:
                if isinstance(event, Started):
                    share = event.trainable_share
                if isinstance(event, Finished):
                    seconds, dev = event.seconds, event.history
                yield event
        return _Trained(prepared, task, base, model, max_length, share, seconds, dev)

    def _model(self, task: Task) -> Generator[Event, None, tuple[LoadedBase, Any, int]]:
        """The base, the model that is trained on it, and the longest input that it reads."""
        settings = self.config.base
        set_seed(self.config.train.seed)
        base = load_base(
            settings.name,
            revision=settings.revision,
            auto_class=task.auto_class,
            processor_class=task.processor_class,
            model_options=task.model_options(),
        )
        adapter = self.config.adapter
        max_length = longest_input(base, settings.max_length, prompts=prompt_length(adapter))
        quantised = quantise(base, settings.quantize, adapter=adapter)
        if quantised:
            yield Quantised(quantised.how, quantised.layers, quantised.bytes_before, quantised.bytes_after)
        model = add_adapter(base, adapter, peft_task_type=task.peft_task_type, seed=self.config.train.seed)
        if quantised:
            refuse_unfit(model, method=adapter.method)
        return base, model, max_length

    def _base_facts(self, base: LoadedBase) -> dict[str, Any]:
        facts = {"name": base.name, "revision": base.revision, "fingerprint": base.fingerprint}
        return {**facts, "quantize": self.config.base.quantize}

    def _prepare(self) -> Prepared:
        config = self.config
        return prepare(
            config.data,
            task=config.task,
            task_options=config.task_options,
            normaliser=self.normaliser,
            max_length=config.base.max_length,
            seed=config.train.seed,
        )

    def _material(self, task: Task, base: LoadedBase, prepared: Prepared, max_length: int) -> tuple[Material, Encoded]:
        features = task.encode(prepared.dataset.train, base.tokenizer, max_length)
        taught = [feature for feature in features if task.weight(feature)]
        if not taught:
            raise _nothing_to_learn(len(features), max_length)
        encoded = Encoded(
            rows=len(features),
            cut=sum(bool(feature.get("cut")) for feature in features),
            dropped=len(features) - len(taught),
        )
        material = Material(
            train_features=taught,
            dev_features=task.encode(prepared.judges, base.tokenizer, max_length),
            dev_rows=prepared.judges,
            collate=lambda features: task.collate(features, base.tokenizer),
            fresh=base.fresh if self.config.train.head_start == "fit" else (),
        )
        return material, encoded

    def _plan(self, base: LoadedBase, prepared: Prepared, metric: Chosen) -> Plan:
        return Plan.of(
            self.config.train,
            adapter=self.config.adapter,
            hidden_size=base.hidden_size,
            rows=len(prepared.dataset.train),
            precision=self.precision,
            metric=metric,
        )

    def _identity(self, base: LoadedBase, prepared: Prepared) -> str:
        """Changes with anything that the weights at the end depend on, and with nothing else."""
        settings = self.config.model_dump(mode="json", exclude={"out": True, "train": {"checkpoint_seconds"}})
        facts: list[Any] = [settings, prepared.hashes, base.fingerprint, self.precision]
        if self.group.size > 1:
            facts.append(self.group.size)  # a step sees a batch a process
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _about(self, trained: _Trained) -> About:
        return About(
            base=self._base_facts(trained.base),
            adapter=self.config.adapter.model_dump(mode="json"),
            config=self.config.model_dump(mode="json"),
            audit=trained.prepared.audit.as_json(),
            dev=trained.dev,
            versions=library_versions(),
            trainable_share=trained.share,
            seconds=round(trained.seconds, 2),
        )

    def _manifest(
        self,
        task: Task,
        base: LoadedBase,
        prepared: Prepared,
        report: AnyReport,
        *,
        max_length: int,
    ) -> dict[str, Any]:
        whole = report.as_json()
        return {
            "task": self.config.task,
            "task_state": task.state(),
            "normalise": self.config.normalise,
            "max_length": max_length,
            "base": self._base_facts(base),
            "data": prepared.hashes,
            "metrics": {name: whole[name] for name in ("test", "clean_test", "verdict")},
            "versions": library_versions(),
        }

    def _publish(self, unproved: Path, task: Task, report: AnyReport, difference: float) -> TrainResult:
        """Reports first, the bundle last: where there is a bundle, the run is whole."""
        manifest = read_manifest(unproved)
        proved = Manifest(**{**dict(manifest), "proof": {"max_abs_logit_difference": difference}})
        write_manifest(unproved, proved)
        atomic_write_text(unproved / "README.md", model_card(proved, report, task))
        result = TrainResult(self.out / "bundle", report, self.out / "report.json", self.out / "report.html")
        text = json.dumps(report.as_json(), ensure_ascii=False, indent=2, allow_nan=False)
        atomic_write_text(result.report_json, text)
        atomic_write_text(result.report_html, render_html(report))
        with disk_errors_as_ours(result.bundle):
            unproved.rename(result.bundle)
            sync_folder(self.out)
        shutil.rmtree(self.out / "checkpoints", ignore_errors=True)
        return result


def _nothing_to_learn(rows: int, max_length: int) -> DataError:
    return DataError(
        f"{rows} 行训练数据截到 {max_length} 个词元以后，没有一行还有要学的内容",
        f"Cut to {max_length} tokens, none of the {rows} training rows has anything left to teach",
        todo_zh="调大 --set base.max_length。",
        todo_en="Raise --set base.max_length.",
    )


def library_versions() -> dict[str, str]:
    return {"qingtiao": version("qingtiao"), **{name: version(name) for name in _LIBRARIES}}
