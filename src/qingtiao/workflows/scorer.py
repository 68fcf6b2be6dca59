"""The trained model over rows, and the report that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qingtiao.answers import Answer
from qingtiao.data.clean import clean_test
from qingtiao.evaluate.judging import AnyReport, report_of
from qingtiao.evaluate.report import About
from qingtiao.models.base import LoadedBase
from qingtiao.models.forward import Forward, run_rows
from qingtiao.task import Feature, Output, Task, TeacherForced, Untaught
from qingtiao.types import Row
from qingtiao.workflows.material import Prepared


class Scorer:
    """`task` changes once: when `tune` has settled what the dev rows settle."""

    def __init__(self, task: Task, base: LoadedBase, model: Any, *, max_length: int, device: torch.device) -> None:
        self.task, self.base, self.model = task, base, model
        self.max_length, self.device = max_length, device

    def judge(self, rows: Sequence[Row]) -> list[Output]:
        return self._run(self.task.encode(rows, self.base.tokenizer, self.max_length), self.task.judge)

    def tune(self, prepared: Prepared) -> Task:
        """The task with what dev rows settle: temperature, thresholds …"""
        if prepared.judges:
            self.task = self.task.tune(self.judge(prepared.judges), prepared.judges)
        return self.task

    def report(self, prepared: Prepared, about: About, *, threshold: float, seed: int) -> AnyReport:
        """The report on the test rows; `threshold` is the similarity from which a row counts as seen in training."""
        dataset = prepared.dataset
        told, forced = self._untrained(dataset.test)
        for name, baseline in self.task.baselines(dataset.train, seed=seed).items():
            told[name] = baseline(dataset.test)
        if isinstance(self.task, TeacherForced):
            forced["adapter"] = self.judge(dataset.test)
        return report_of(
            self.task,
            dataset.test,
            self._answers(dataset.test),
            clean={row.place for row in clean_test(dataset, threshold=threshold)},
            baselines=told,
            about=about,
            seed=seed,
            forced=forced,
        )

    def _untrained(self, rows: Sequence[Row]) -> tuple[dict[str, Sequence[Answer]], dict[str, Sequence[Output]]]:
        """What the base says by itself, and what it gives for the targets, of tasks that it can do untaught."""
        told: dict[str, Sequence[Answer]] = {}
        forced: dict[str, Sequence[Output]] = {}
        if isinstance(self.task, Untaught | TeacherForced):
            with self.model.disable_adapter():
                if isinstance(self.task, Untaught):
                    told["base"] = self._answers(rows)
                if isinstance(self.task, TeacherForced):
                    forced["base"] = self.judge(rows)
        return told, forced

    def _answers(self, rows: Sequence[Row]) -> list[Answer]:
        asked = [row.unanswered() for row in rows]
        features = self.task.encode(asked, self.base.tokenizer, self.max_length)
        return self.task.decode(self._run(features, self.task.infer), asked, self.base.tokenizer)

    def _run(self, features: Sequence[Feature], forward: Forward) -> list[Output]:
        return run_rows(
            self.model,
            features,
            lambda batch: self.task.collate(batch, self.base.tokenizer),
            forward,
            device=self.device,
            precision="fp32",
        )
