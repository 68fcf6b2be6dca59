"""From a task's answers to a report: a classifier's where labels exclude each other, a measured one elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qingtiao.answers import Answer, Prediction, Span, Spans
from qingtiao.data.marks import marks_of
from qingtiao.evaluate.measured import Judged, MeasuredReport, build_measured_report, measured_block
from qingtiao.evaluate.measures import Difference, Measure, difference, mean_of
from qingtiao.evaluate.report import About, Report, TestRows, build_report, evaluate_block, strict_json
from qingtiao.evaluate.stats import accuracy_difference_interval, mcnemar
from qingtiao.task import Output, Task, TeacherForced
from qingtiao.types import Place, Row

AnyReport = Report | MeasuredReport
_LONGEST_GOLD = 2000
ACCURACY = Measure("accuracy", "准确率", "accuracy", mean_of(0, 1))


def report_of(
    task: Task,
    rows: Sequence[Row],
    answers: Sequence[Answer],
    *,
    clean: Collection[Place],
    baselines: Mapping[str, Sequence[Answer]],
    about: About,
    seed: int,
    forced: Mapping[str, Sequence[Output]] | None = None,
) -> AnyReport:
    """The report on `rows`, which bear targets, given the adapter's and each baseline's answers to them.

    Args:
        forced: for a `TeacherForced` task what `judge` gave for the rows, by system: `adapter`, and baselines, which
            need not be among those that answered.
        clean: places of the rows that are neither equal nor near to a training row.

    Raises:
        DataError: there are no rows, or a target cannot be judged.
    """
    mask = np.array([row.place in clean for row in rows], dtype=bool)
    texts = [row.text for row in rows]
    if task.exclusive:
        return build_report(
            TestRows(texts=texts, gold=_gold(task, rows), clean=mask, places=[row.place for row in rows]),
            _probabilities(task, answers),
            labels=task.labels,
            baselines={name: _probabilities(task, other) for name, other in baselines.items()},
            about=about,
            seed=seed,
        )
    judged = Judged(
        texts=texts,
        gold=[row.told[:_LONGEST_GOLD] for row in rows],
        predicted=[answer.headline for answer in answers],
        clean=mask,
        places=[str(row.place) for row in rows],
        spans=_spans(rows, answers),
    )
    forced = forced or {}
    systems: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in ("adapter", *forced, *baselines)}
    for name, outputs in forced.items():
        systems[name] |= _forced(task, outputs, rows)
    for name, told in {"adapter": answers, **baselines}.items():
        systems[name] |= task.measure(told, rows)
    return build_measured_report(
        judged,
        _measures(task, forced=bool(forced)),
        systems.pop("adapter"),
        baselines=systems,
        about=about,
        seed=seed,
    )


def _measures(task: Task, *, forced: bool) -> tuple[Measure, ...]:
    return (*task.forced, *task.measures) if forced and isinstance(task, TeacherForced) else task.measures


def _forced(task: Task, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
    return task.measure_outputs(outputs, rows) if isinstance(task, TeacherForced) else {}


def block_of(
    task: Task,
    rows: Sequence[Row],
    answers: Sequence[Answer],
    *,
    outputs: Sequence[Output] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The scores alone, as strict JSON: `n`, then each score and its interval under `<score>_ci`.

    Args:
        seed: of the bootstrap; that of a run gives the intervals of its report.
        outputs: what `judge` gave, for the measures of a `TeacherForced` task.

    Raises:
        DataError: there are no rows, or a target cannot be judged.
    """
    if task.exclusive:
        found: dict[str, Any] = strict_json(evaluate_block(_gold(task, rows), _probabilities(task, answers), seed=seed))
        return found
    sums = (
        {**_forced(task, outputs or [], rows), **task.measure(answers, rows)}
        if outputs
        else task.measure(answers, rows)
    )
    measures = _measures(task, forced=bool(outputs))
    measured: dict[str, Any] = strict_json(measured_block(measures, sums, seed=seed).as_json())
    return measured


def first_measure(task: Task | type[Task]) -> Measure:
    """What systems are compared by: accuracy where labels exclude each other, else the first of the task's measures."""
    return ACCURACY if task.exclusive else task.measures[0]


def paired(
    task: Task, rows: Sequence[Row], first: Sequence[Answer], second: Sequence[Answer], *, seed: int
) -> Difference:
    """By how much the first answers are better than the second on the same rows, by `first_measure`.

    Accuracy is compared by McNemar's mid-p, as in reports; anything else by a paired bootstrap.
    """
    if not task.exclusive:
        measure = first_measure(task)
        one, other = (task.measure(answers, rows)[measure.name] for answers in (first, second))
        return difference(measure, one, other, seed=seed)
    test = mcnemar(_gold(task, rows), *(_probabilities(task, answers).argmax(axis=1) for answers in (first, second)))
    gap = (test.first_only - test.second_only) / test.n
    return Difference(value=gap, interval=accuracy_difference_interval(test), p=test.p_mid)


def _spans(rows: Sequence[Row], answers: Sequence[Answer]) -> list[tuple[tuple[Span, ...], tuple[Span, ...]]] | None:
    """What is marked and what was, of each row; None where answers are something else."""
    found = [answer.spans for answer in answers if isinstance(answer, Spans)]
    if not found:
        return None
    return [(tuple(Span(*mark) for mark in marks_of(row)), said) for row, said in zip(rows, found, strict=True)]


def _gold(task: Task, rows: Sequence[Row]) -> NDArray[np.int64]:
    task.check(rows)
    return np.array([task.labels.index(row.target) for row in rows], dtype=np.int64)


def _probabilities(task: Task, answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Shape (rows, labels), in the order of `task.labels`."""
    table = [
        [answer.probabilities[label] for label in task.labels] for answer in answers if isinstance(answer, Prediction)
    ]
    return np.array(table, dtype=np.float64).reshape(len(answers), len(task.labels))
