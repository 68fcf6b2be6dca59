"""Which runs are still to be made, and making them in worker processes of one thread each."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from corpora import CORPORA, TASK, Size, prepare, subset
from methods import METHODS, TRAINED_BASES, UNTRAINED, predict
from results import Result, Run, packed
from workers import worker_pool

from qingtiao.config import PrecisionChoice
from qingtiao.evaluate.metrics import accuracy, macro_f1
from qingtiao.task import find_task


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs share: the folder of the data, the name of the base, the precision it is trained in."""

    folder: Path
    base: str
    precision: PrecisionChoice


def plan_runs(
    data: Collection[str],
    methods: Collection[str],
    sizes: Collection[Size],
    seeds: Sequence[int],
    *,
    fingerprint: str,
    settings: Mapping[str, str],
) -> list[Run]:
    """Every run of the table, the smallest first; of one size, all methods and data sets seed by seed.

    Args:
        settings: by method, see `settings_of`.
    """
    runs = []
    for method in methods:
        base = (fingerprint, settings[method]) if method in TRAINED_BASES else ("", "")
        for name in data:
            if method not in UNTRAINED:
                runs += [Run(name, method, size, seed, *base) for size in sizes for seed in seeds]
            elif CORPORA[name].positive is not None:
                runs.append(Run(name, method, 0, 0, *base))
    return sorted(runs, key=_cost)


def _cost(run: Run) -> tuple[float, int, int, int]:
    rows = float("inf") if run.size == "all" else run.size
    return rows, run.seed, list(CORPORA).index(run.data), METHODS.index(run.method)


def carry_out(
    runs: Iterable[Run], setting: Setting, *, workers: int, deadline: float = float("inf")
) -> Iterator[Result]:
    """Results as they come in; after `deadline` (of `time.monotonic`) no run is begun any more."""
    waiting, going = iter(runs), set[Future[Result]]()
    with worker_pool(workers) as pool:
        while True:
            while len(going) < workers and time.monotonic() < deadline and (run := next(waiting, None)):
                going.add(pool.submit(carry_out_one, run, setting))
            if not going:
                return
            done, going = wait(going, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def carry_out_one(run: Run, setting: Setting) -> Result:
    rows = prepare(run.data, setting.folder)
    kind = find_task(TASK)
    task = kind.fit(rows.train, kind.Options())
    chosen = [] if run.method in UNTRAINED else subset(rows.train, run.size, seed=run.seed)
    started = time.perf_counter()
    predicted = predict(
        run.method,
        task,
        chosen,
        rows.test,
        positive=CORPORA[run.data].positive,
        seed=run.seed,
        base=setting.base,
        precision=setting.precision,
    )
    gold = task.gold(rows.test)
    return Result(
        **asdict(run),
        accuracy=accuracy(gold, predicted),
        macro_f1=macro_f1(gold, predicted, classes=len(task.labels)),
        n=len(gold),
        rows=len(chosen),
        seconds=round(time.perf_counter() - started, 2),
        precision=setting.precision if run.method in TRAINED_BASES else "",
        correct=packed(np.asarray(predicted == gold)),
    )
