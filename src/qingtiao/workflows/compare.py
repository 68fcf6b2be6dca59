"""`compare`: several ways to do one task, judged on the same rows; each is an ordinary run in a subfolder."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from qingtiao.answers import Answer
from qingtiao.bundle import load_bundle, read_manifest
from qingtiao.config import CompareConfig, RunConfig
from qingtiao.data.clean import clean_test
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import ConfigError, DataError, RunError
from qingtiao.evaluate.comparison import Comparison, Contender, build_comparison, rivals
from qingtiao.evaluate.comparison_html import render_comparison
from qingtiao.evaluate.judging import block_of, first_measure, paired
from qingtiao.evaluate.measures import Difference
from qingtiao.evaluate.verdict import NAMES
from qingtiao.events import Entered, Event, Phase
from qingtiao.files import atomic_write_text
from qingtiao.task import Task, find_task
from qingtiao.types import Row
from qingtiao.workflows.folder import stored_config
from qingtiao.workflows.material import Prepared, prepare
from qingtiao.workflows.train import library_versions, train

_WARM_UP_ROWS = 16


@dataclass(frozen=True, slots=True)
class CompareResult:
    """What a comparison left."""

    comparison: Comparison
    report_json: Path
    report_html: Path


def compare(config: CompareConfig, *, overwrite: bool = False) -> Generator[Event, None, CompareResult]:
    """Train each entry into its folder, yielding its events, and judge all of them on the same test rows.

    An entry that is done is taken as it is, one that was cut off goes on from its newest checkpoint: calling again
    with the same config continues. With `overwrite` all begin anew.

    Raises:
        ConfigError: the entries do not see the same rows, or do not answer alike.
        RunError: the folder of an entry holds another run.
        QingtiaoError: whatever `train` refuses.
    """
    kinds = _refuse_unlike(config)
    yield Phase("data")
    prepared = _same_rows(config.entries)
    for number, (name, run) in enumerate(config.entries.items(), start=1):
        done = not overwrite and _is_done(run, prepared)
        yield Entered(name, number, len(config.entries), done)
        if not done:
            yield from train(run, resume=not overwrite, overwrite=overwrite)
    yield Phase("evaluate")
    comparison = _compared(config, kinds[0], prepared)
    out = Path(config.out)
    result = CompareResult(comparison, out / "compare.json", out / "compare.html")
    text = json.dumps(comparison.as_json(), ensure_ascii=False, indent=2, allow_nan=False)
    atomic_write_text(result.report_json, text)
    atomic_write_text(result.report_html, render_comparison(comparison))
    return result


def _refuse_unlike(config: CompareConfig) -> list[type[Task]]:
    """The kinds of task of the entries, which must give answers that can be compared, on rows that are the same."""
    runs = list(config.entries.values())
    for name in config.entries:
        if not re.fullmatch(r"[^\W_][\w.\-]*", name) or name in NAMES:
            raise ConfigError(
                f"entries.{name}：名字要用作文件夹名，只能有文字、数字、点、横线和下划线，以文字或数字开头，"
                f"不能是 {'、'.join(NAMES)}",
                f"entries.{name}: the name becomes a folder, so it has letters, digits and . - _ only, begins with a "
                f"letter or digit, and is none of {', '.join(NAMES)}",
                todo_zh="换一个名字。",
                todo_en="Choose another name.",
            )
    for field, values in (
        ("data", [run.data for run in runs]),
        ("normalise", [run.normalise for run in runs]),
        ("train.seed", [run.train.seed for run in runs]),
    ):
        if any(value != values[0] for value in values):
            raise ConfigError(
                f"几项训练的 {field} 不一样，比不出高下",
                f"The entries differ in {field}: that is no comparison",
                todo_zh=f"把 {field} 写在 entries 外面，大家共用。",
                todo_en=f"Write {field} outside of entries, for all of them.",
            )
    kinds = [find_task(run.task) for run in runs]
    if len({run.task for run in runs}) > 1 and not all(kind.exclusive for kind in kinds):
        names = sorted({run.task for run in runs})
        raise ConfigError(
            f"这些任务的答案不是一类，不能放在一起比：{'、'.join(names)}",
            f"The answers of these tasks are not of one kind and cannot be compared: {', '.join(names)}",
            todo_zh="用同一个任务；或者都用一行一个标签的任务。",
            todo_en="Use one task, or tasks that give each row one label.",
        )
    return kinds


def _same_rows(entries: Mapping[str, RunConfig]) -> Prepared:
    """The rows of all entries: read again for each way of reading them, so that a difference shows before training."""
    (_, first), *others = entries.items()
    prepared, seen = _prepared(first), [(first.task, first.task_options)]
    for name, run in others:
        if (run.task, run.task_options) in seen:
            continue
        seen.append((run.task, run.task_options))
        if _prepared(run).hashes != prepared.hashes:
            raise ConfigError(
                f"entries.{name} 读出来的行和别的不一样",
                f"entries.{name} reads other rows than the rest",
                todo_zh="检查它的 task_options：改了标签名或文本列，就要大家一起改。",
                todo_en="Check its task_options: labels and columns must be the same for all.",
            )
    return prepared


def _prepared(run: RunConfig) -> Prepared:
    return prepare(
        run.data,
        task=run.task,
        task_options=run.task_options,
        normaliser=Normaliser(run.normalise),
        max_length=run.base.max_length,
        seed=run.train.seed,
    )


def _is_done(run: RunConfig, prepared: Prepared) -> bool:
    """Whether the folder holds this very run, finished."""
    out = Path(run.out)
    if not (out / "bundle").exists():
        return False
    if _settings(stored_config(out)) != _settings(run) or read_manifest(out / "bundle").data != prepared.hashes:
        raise RunError(
            f"{out} 里已经有一次训练，设置或数据和现在的不同",
            f"{out} holds a run with other settings or data",
            todo_zh="换一个 --out，或者加 --overwrite 全部重来。",
            todo_en="Choose another --out, or add --overwrite to begin all of them anew.",
        )
    return True


def _settings(run: RunConfig) -> dict[str, Any]:
    """What makes a run what it is; `precision` is stored as it was chosen, so `auto` cannot be held against it."""
    return run.model_dump(mode="json", exclude={"out": True, "train": {"checkpoint_seconds", "precision"}})


def _compared(config: CompareConfig, kind: type[Task], prepared: Prepared) -> Comparison:
    first = next(iter(config.entries.values()))
    judge = _Judge(prepared, first)
    for name, run in config.entries.items():
        judge.add_run(name, run)
    judge.add_baselines(first)
    measure = first_measure(kind)
    differences = {
        (one.name, other.name): judge.difference(one.name, other.name)
        for one, other in combinations(rivals(judge.contenders, measure), 2)
    }
    about = {
        "measures": {one.name: one.as_json() for one in kind.measures},
        "data": prepared.hashes,
        "entries": {name: run.model_dump(mode="json") for name, run in config.entries.items()},
        "versions": library_versions(),
    }
    return build_comparison(judge.contenders, measure, differences, about=about)


class _Judge:
    """Each system's answers to the same test rows, and what they are worth."""

    def __init__(self, prepared: Prepared, run: RunConfig) -> None:
        self.train, self.rows = prepared.dataset.train, prepared.dataset.test
        if not self.rows:
            raise DataError(
                f"{run.data.test or run.data.train} 里没有可以比较的测试行",
                f"{run.data.test or run.data.train} holds no test row to compare on",
                todo_zh="给一份至少有一行的测试数据。",
                todo_en="Give test data of at least one row.",
            )
        clean = {row.place for row in clean_test(prepared.dataset, threshold=run.data.near_duplicate)}
        self.clean = [index for index, row in enumerate(self.rows) if row.place in clean]
        self.seed = run.train.seed
        self.contenders: list[Contender] = []
        self.answers: dict[str, Sequence[Answer]] = {}
        self.task: Task | None = None  # the first entry's, which knows the labels or the scale of the training rows

    def add_run(self, name: str, run: RunConfig) -> None:
        predictor = load_bundle(Path(run.out) / "bundle")
        self.task = self.task or predictor.task
        predictor.answer(self.rows[:_WARM_UP_ROWS])
        started = time.perf_counter()
        self.answers[name] = predictor.answer(self.rows)
        seconds = time.perf_counter() - started
        report = json.loads((Path(run.out) / "report.json").read_text(encoding="utf-8"))
        self._add(
            name,
            predictor.task,
            run.task,
            base=run.base.name,
            train_seconds=report["seconds"],
            parameters=sum(parameter.numel() for parameter in predictor.model.parameters()),
            trained_share=report["trainable_share"],
            bundle_bytes=_size(Path(run.out) / "bundle"),
            seconds_per_row=seconds / len(self.rows),
        )

    def add_baselines(self, run: RunConfig) -> None:
        assert self.task is not None
        started = time.perf_counter()
        baselines = self.task.baselines(self.train, seed=self.seed)
        fitting = time.perf_counter() - started
        for name, baseline in baselines.items():
            started = time.perf_counter()
            self.answers[name] = baseline(self.rows)
            seconds = time.perf_counter() - started
            costs = {"base": None, "parameters": None, "trained_share": None, "bundle_bytes": None}
            speed = seconds / len(self.rows)
            self._add(name, self.task, run.task, train_seconds=fitting, seconds_per_row=speed, **costs)

    def _add(self, name: str, task: Task, task_name: str, **costs: Any) -> None:
        answers, clean = self.answers[name], self.clean
        self.contenders.append(
            Contender(
                name=name,
                task=task_name,
                test=block_of(task, self.rows, answers, seed=self.seed),
                clean_test=block_of(task, self._judged(), _those(answers, clean), seed=self.seed) if clean else None,
                **costs,
            )
        )

    def difference(self, first: str, second: str) -> Difference:
        assert self.task is not None
        one, other = (_those(self.answers[name], self.clean) for name in (first, second))
        return paired(self.task, self._judged(), one, other, seed=self.seed)

    def _judged(self) -> list[Row]:
        return _those(self.rows, self.clean)


def _those(values: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    """The values at `indices`; all of them where there are none, as in reports without clean rows."""
    return [values[index] for index in indices] if indices else list(values)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
