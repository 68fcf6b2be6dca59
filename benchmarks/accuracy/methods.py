"""What is compared: each method learns some rows and names the class of the test rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from qingtiao.config import AdapterConfig, BaseConfig, PrecisionChoice, TrainConfig, resolve_auto
from qingtiao.evaluate.baseline import fit_majority, fit_tfidf
from qingtiao.evaluate.metrics import Floats, Ints
from qingtiao.events import Event
from qingtiao.models.methods import method_named
from qingtiao.task import Task, choosing_score
from qingtiao.types import Row

# In the order of what they cost.
METHODS = ("majority", "tfidf", "snownlp", "lora", "full")
TRAINED_BASES = ("lora", "full")
UNTRAINED = ("snownlp",)


def settings_of(method: str, hidden_size: int) -> str:
    """A short hash of the settings that a base is trained with: results under other settings are other results."""
    settings: list[object] = [
        part.model_dump(mode="json") for part in (TrainConfig(), AdapterConfig(method=method), BaseConfig())
    ]
    # What `auto` stands for, too: it is the defaults that change.
    rate = method_named(method).rate_on(hidden_size)
    settings += [resolve_auto(TrainConfig(), rate=rate, hidden_size=hidden_size, rows=n) for n in (100, 1000, 9999)]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def predict(
    method: str,
    task: Task,
    train_rows: Sequence[Row],
    test_rows: Sequence[Row],
    *,
    positive: str | None,
    seed: int,
    base: str,
    precision: PrecisionChoice,
) -> Ints:
    """Class ids of the test rows, shape (rows,)."""
    if method == "snownlp":
        classes = np.array([task.labels.index(label) for label in _other_and(positive, task)])
        return np.asarray(classes[snownlp_says_positive([row.text for row in test_rows]).astype(int)])
    if method in TRAINED_BASES:
        adapter, settings = AdapterConfig(method=method), TrainConfig(seed=seed, precision=precision)
        scores = fine_tuned(task, train_rows, test_rows, base=BaseConfig(name=base), adapter=adapter, settings=settings)
    else:
        scores = _baseline(method, task, train_rows, seed=seed, texts=[row.text for row in test_rows])
    return np.asarray(scores.argmax(axis=1))


def snownlp_says_positive(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """SnowNLP's polarity with the model it ships; a text with nothing in it, which it cannot read, is negative."""
    from snownlp import SnowNLP

    return np.array([bool(text.strip()) and SnowNLP(text).sentiments > 0.5 for text in texts], dtype=np.bool_)


def _other_and(positive: str | None, task: Task) -> tuple[str, str]:
    (other,) = set(task.labels) - {positive}
    return other, next(label for label in task.labels if label == positive)


def _baseline(method: str, task: Task, rows: Sequence[Row], *, seed: int, texts: Sequence[str]) -> Floats:
    gold, classes = task.gold(rows), len(task.labels)
    if method == "majority":
        return fit_majority(gold, classes=classes).predict_proba(texts)
    return fit_tfidf([row.text for row in rows], gold, classes=classes, seed=seed).predict_proba(texts)


def fine_tuned(
    task: Task,
    train_rows: Sequence[Row],
    test_rows: Sequence[Row],
    *,
    base: BaseConfig,
    adapter: AdapterConfig,
    settings: TrainConfig,
    listen: Callable[[Event], None] = lambda _: None,
) -> Floats:
    """Logits of the test rows after the last epoch, shape (rows, classes): with no dev rows, no epoch is chosen.

    `listen` is told every event of the training.
    """
    from accelerate.utils import set_seed

    from qingtiao.models.adapter import add_adapter
    from qingtiao.models.base import load_base, longest_input
    from qingtiao.models.device import pick_device, pick_precision
    from qingtiao.models.forward import run_rows
    from qingtiao.train.loop import Material, Plan, train

    set_seed(settings.seed)
    device = pick_device()
    loaded = load_base(
        base.name, revision=base.revision, auto_class=task.auto_class, model_options=task.model_options()
    )
    max_length = longest_input(loaded, base.max_length)
    model = add_adapter(loaded, adapter, peft_task_type=task.peft_task_type, seed=settings.seed)
    plan = Plan.of(
        settings,
        adapter=adapter,
        hidden_size=loaded.hidden_size,
        rows=len(train_rows),
        precision=pick_precision(settings.precision, device),
        metric=choosing_score(task, settings.metric),
    )
    material = Material(
        train_features=task.encode(train_rows, loaded.tokenizer, max_length),
        dev_features=(),
        dev_rows=(),
        collate=lambda features: task.collate(features, loaded.tokenizer),
        fresh=loaded.fresh if settings.head_start == "fit" else (),
    )
    for event in train(model, task, material, plan):
        listen(event)
    features = task.encode(test_rows, loaded.tokenizer, max_length)
    logits = run_rows(model, features, material.collate, task.infer, device=device, precision="fp32")
    return np.stack(logits).astype(np.float64)
