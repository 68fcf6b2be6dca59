"""What every task keeps: from its built-in samples to a proved bundle, HTTP and the web form.

A new file in `tasks/` is found by listing the folder and goes through all of this.
"""

from __future__ import annotations

import gc
import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bases import BUILDERS, save_base

import qingtiao
from qingtiao.cli import main
from qingtiao.cli.chat import refuse_what_holds_no_conversation
from qingtiao.config import BaseConfig, DataConfig, NormaliseConfig, RunConfig, TrainConfig
from qingtiao.data.normalise import Normaliser
from qingtiao.data.read import read_records
from qingtiao.errors import ConfigError, UserError
from qingtiao.evaluate.judging import block_of
from qingtiao.events import Event, Proved, Step
from qingtiao.models.base import load_base
from qingtiao.predict import Predictor
from qingtiao.task import Speaking, Task, TeacherForced, Untaught, find_task, task_names
from qingtiao.types import Dataset, Place, Record, Row
from qingtiao.workflows.evaluate import evaluate
from qingtiao.workflows.material import sample_records
from qingtiao.workflows.predict import predict_file
from qingtiao.workflows.train import TrainResult, train

# Gradio leaves event loops to the garbage collector, and uses an option that pandas deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
]

TASKS = 11  # a new task raises this
MAX_LENGTH = 96


@dataclass(frozen=True)
class Trained:
    """A task trained on its samples for two passes, and what came of it."""

    name: str
    events: list[Event]
    result: TrainResult
    predictor: Predictor
    rows: list[Row]

    @property
    def task(self) -> Task:
        return self.predictor.task

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The samples as somebody who has no answers would give them."""
        return [
            {name: sample[name] for name in self.task.Input.model_fields if name in sample} for sample in self.samples
        ]

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [dict(sample) for sample in find_task(self.name).samples]


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    """What Gradio leaves behind is collected here, not during the tests of another file, which it would fail."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def parsed(name: str, *, labelled: bool = True) -> list[Row]:
    kind = find_task(name)
    return kind.parse(sample_records(name), options=kind.Options(), columns={}, labelled=labelled)


def tiny_base(name: str, folder: Path) -> str:
    kind = find_task(name)
    save_base(folder, kind.auto_class, (str(sample) for sample in kind.samples))
    return str(folder)


@pytest.fixture(scope="module", params=task_names())
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    config = RunConfig(
        data=DataConfig(train=f"samples:{name}"),
        task=name,
        base=BaseConfig(name=tiny_base(name, folder / "base"), max_length=MAX_LENGTH),
        train=TrainConfig(epochs=2, learning_rate=5e-3, batch_size=8),
        out=str(folder / "out"),
    )
    events: list[Event] = []
    loop = train(config)
    while True:
        try:
            events.append(next(loop))
        except StopIteration as end:
            result: TrainResult = end.value
            break
    return Trained(name, events, result, qingtiao.load(result.bundle), parsed(name))


# --- without a model ------------------------------------------------------------------------------


def test_every_task_is_here() -> None:
    assert len(task_names()) >= TASKS
    assert {find_task(name).auto_class for name in task_names()} <= BUILDERS.keys()


@pytest.mark.parametrize("name", task_names())
def test_samples_are_rows_with_and_without_their_targets(name: str) -> None:
    kind = find_task(name)
    labelled, bare = parsed(name), parsed(name, labelled=False)
    assert len(labelled) == len(bare) == len(kind.samples)
    assert all(row.target is not None and row.text for row in labelled)
    assert all(row.target is None for row in bare)
    assert [row.text for row in bare] == [row.text for row in labelled]
    asked = [{n: sample[n] for n in kind.Input.model_fields if n in sample} for sample in kind.samples]
    alone = kind.parse(
        [Record(one, Place("memory", i)) for i, one in enumerate(asked)],
        options=kind.Options(),
        columns={},
        labelled=False,
    )
    assert [row.text for row in alone] == [row.text for row in labelled]


@pytest.mark.parametrize("name", task_names())
def test_what_is_asked_is_described_in_both_languages(name: str) -> None:
    fields = find_task(name).Input.model_fields
    assert len(fields) >= 1
    assert all(" | " in (field.description or "") for field in fields.values())


@pytest.mark.parametrize("name", task_names())
def test_a_task_survives_its_own_state(name: str) -> None:
    kind = find_task(name)
    task = kind.fit(parsed(name), kind.Options())
    state = json.loads(json.dumps(task.state(), allow_nan=False))
    assert kind.from_state(state).state() == state == json.loads(json.dumps(task.state()))
    with pytest.raises((KeyError, TypeError, ValueError)):
        kind.from_state({"nothing": "of use"})


@pytest.mark.parametrize("name", task_names())
def test_normalising_twice_changes_nothing(name: str) -> None:
    kind, normaliser = find_task(name), Normaliser(NormaliseConfig())
    for row in parsed(name):
        once = kind.normalised(row, normaliser)
        assert kind.normalised(once, normaliser) == once
        assert once.target == row.target or once.target is not None


@pytest.mark.parametrize("name", task_names())
def test_scores_and_measures_are_named(name: str) -> None:
    kind = find_task(name)
    assert "loss" in kind.scores and kind.scores["loss"] is False
    assert bool(kind.measures) != kind.exclusive
    assert len({measure.name for measure in kind.measures}) == len(kind.measures)


# --- on a tiny model ------------------------------------------------------------------------------


def test_it_trains_and_is_proved(trained: Trained) -> None:
    losses = [event.loss for event in trained.events if isinstance(event, Step)]
    assert len(losses) >= 4
    assert np.isfinite(losses).all()
    (proved,) = [event for event in trained.events if isinstance(event, Proved)]
    assert proved.max_abs_logit_difference < 1e-4


def test_two_steps_move_the_loss(trained: Trained, tmp_path: Path) -> None:
    """The loss of the same batch is lower after a few plain gradient steps on it: gradients reach what is trained."""
    from qingtiao.config import AdapterConfig
    from qingtiao.models.adapter import add_adapter, trainable

    kind = find_task(trained.name)
    task = kind.fit(trained.rows, kind.Options())
    torch.manual_seed(0)
    base = load_base(
        tiny_base(trained.name, tmp_path / "base"),
        revision=None,
        auto_class=task.auto_class,
        processor_class=task.processor_class,
        model_options=task.model_options(),
    )
    model = add_adapter(base, AdapterConfig(dropout=0.0), peft_task_type=task.peft_task_type, seed=0).eval()
    features = task.encode(trained.rows[:8], base.tokenizer, MAX_LENGTH)
    assert all(task.weight(feature) >= 1 for feature in features)
    batch = task.collate(features, base.tokenizer)
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2)
    losses = []
    for _ in range(6):
        loss = task.loss(model, batch)
        assert loss.ndim == 0
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]


def test_features_bear_labels_just_where_there_is_a_target(trained: Trained) -> None:
    predictor, task = trained.predictor, trained.task
    labelled = task.encode(trained.rows, predictor.tokenizer, MAX_LENGTH)
    bare = task.encode([row.unanswered() for row in trained.rows], predictor.tokenizer, MAX_LENGTH)
    assert len(labelled) == len(bare) == len(trained.rows)
    assert all("labels" in feature for feature in labelled)
    assert not any("labels" in feature for feature in bare)
    for features in (labelled, bare):
        batch = task.collate(features[:3], predictor.tokenizer)
        assert all(isinstance(tensor, torch.Tensor) for tensor in batch.values())
        assert "cut" not in batch


def test_judging_gives_one_float_array_a_row_and_the_named_scores(trained: Trained) -> None:
    outputs = trained.predictor.judge(trained.rows)
    assert len(outputs) == len(trained.rows)
    assert all(output.dtype == np.float32 and np.isfinite(output).all() for output in outputs)
    scores = trained.task.score(outputs, trained.rows)
    assert scores.keys() == trained.task.scores.keys()
    assert np.isfinite(list(scores.values())).all()


def test_rows_that_came_through_json_are_judged_alike(trained: Trained) -> None:
    rows = [
        Row(
            **{**json.loads(json.dumps({"text": r.text, "target": r.target, "fields": r.fields, "parts": r.parts}))},
            place=r.place,
        )
        for r in trained.rows
    ]
    rows = [Row(r.text, r.target, r.place, r.fields, tuple(r.parts)) for r in rows]
    for one, other in zip(trained.predictor.judge(trained.rows), trained.predictor.judge(rows), strict=True):
        assert np.array_equal(one, other)


def test_answers_are_json_and_cells_and_do_not_depend_on_the_batch(trained: Trained) -> None:
    answers = trained.predictor.predict(trained.inputs)
    alone = [trained.predictor.predict([one])[0] for one in trained.inputs]
    assert len(answers) == len(trained.inputs)
    for answer, other in zip(answers, alone, strict=True):
        _equal(answer.as_json(), other.as_json())
        assert json.loads(json.dumps(answer.as_json(), allow_nan=False)) == answer.as_json()
        assert all(isinstance(cell, str | int | float) for cell in answer.as_cells().values())
        assert isinstance(answer.headline, str) and answer.headline
        assert "notice" in answer.as_json() and "notice" in answer.as_cells()


def _equal(one: Any, other: Any) -> None:
    """Alike but for the rounding of another batch."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _equal(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            _equal(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-4)
    else:
        assert one == other


def test_what_the_bundle_says_is_what_was_trained(trained: Trained) -> None:
    """The reloaded task tells as much as the one that was fitted, dev-tuned values included."""
    state = json.loads((trained.result.bundle / "qingtiao.json").read_text(encoding="utf-8"))["task_state"]
    assert trained.task.state() == find_task(trained.name).from_state(state).state()
    assert json.loads(json.dumps(trained.task.state())) == state


def test_a_wrong_input_is_refused_in_one_error(trained: Trained) -> None:
    with pytest.raises(ConfigError, match="no_such_field"):
        trained.predictor.predict([{**trained.inputs[0], "no_such_field": 1}])
    with pytest.raises(TypeError):
        trained.predictor.predict("很好吃")
    assert trained.predictor.predict([]) == []


def test_nothing_gets_the_blank_answer(trained: Trained) -> None:
    first = next(iter(trained.task.Input.model_fields))
    empty = {name: "" for name, value in trained.inputs[0].items() if isinstance(value, str)}
    if first not in empty or "image" in str(trained.task.Input.model_fields[first].json_schema_extra):
        pytest.skip("a picture is never blank")
    (answer,) = trained.predictor.predict([empty])
    assert answer.as_json() == trained.task.blank_answer().as_json()
    assert answer.notice


def test_an_over_long_input_is_answered(trained: Trained) -> None:
    long = [
        {n: v * 40 if isinstance(v, str) and not v.startswith("data:") else v for n, v in trained.inputs[0].items()}
    ]
    (answer,) = trained.predictor.predict(long)
    assert answer.headline


def test_measures_and_baselines_judge_every_row(trained: Trained) -> None:
    task = trained.task
    answers = trained.predictor.answer(trained.rows)
    block = block_of(task, trained.rows, answers)
    assert block["n"] == len(trained.rows)
    scores = [name.removesuffix("_ci") for name in block if name.endswith("_ci")]
    assert len(scores) >= 1
    for name in scores:
        low, high = block[f"{name}_ci"]
        assert low <= block[name] + 1e-9 and block[name] - 1e-9 <= high
    if task.measures:
        assert scores == [measure.name for measure in task.measures]
    baselines = task.baselines(trained.rows, seed=1)
    assert len(baselines) >= 1
    for baseline in baselines.values():
        told = baseline(trained.rows[:5])
        assert [type(answer) for answer in told] == [type(answers[0])] * 5


def test_the_report_and_the_card_are_written(trained: Trained) -> None:
    report = json.loads(trained.result.report_json.read_text(encoding="utf-8"))
    assert report["verdict"]["zh"] and report["verdict"]["en"]
    assert report["baselines"] and report["test"]["n"] >= 1
    assert ("base" in report["baselines"]) == isinstance(trained.task, TeacherForced | Untaught)
    page = trained.result.report_html.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<script" not in page
    card = (trained.result.bundle / "README.md").read_text(encoding="utf-8")
    assert find_task(trained.name).title.zh in card


def test_evaluate_scores_the_bundle_on_a_file(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(json.dumps(s, ensure_ascii=False) for s in trained.samples), encoding="utf-8")
    block = evaluate(trained.result.bundle, DataConfig(train=str(path)))
    assert block["n"] == len(trained.samples)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_is_answered_row_by_row(trained: Trained, tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / f"out{suffix}"
    source.write_text("\n".join(json.dumps(s, ensure_ascii=False) for s in trained.inputs), encoding="utf-8")
    assert predict_file(trained.predictor, source, target) == len(trained.inputs)
    told = [dict(record.fields) for record in read_records(target)]
    expected = trained.predictor.predict(trained.inputs)
    names = expected[0].as_cells() if suffix == ".csv" else expected[0].as_json()
    assert len(told) == len(expected)
    assert all(names.keys() <= row.keys() for row in told)


# --- surfaces -------------------------------------------------------------------------------------


def test_http_answers_as_python_does(trained: Trained) -> None:
    from fastapi.testclient import TestClient

    from qingtiao.serve.api import build_api

    client = TestClient(build_api(trained.predictor))
    schema = client.get("/schema").json()
    assert schema["request"]["properties"]["inputs"]["items"]["anyOf"][1]["properties"].keys() == set(
        trained.task.Input.model_fields
    )
    told = client.post("/predict", json={"inputs": trained.inputs[:3]})
    assert told.status_code == 200, told.text
    for answer, expected in zip(told.json()["answers"], trained.predictor.predict(trained.inputs[:3]), strict=True):
        _equal(answer, expected.as_json())
    wrong = client.post("/predict", json={"inputs": [{"no_such_field": 1}]})
    assert wrong.status_code == 422 and "no_such_field" in wrong.json()["error"]["zh"]


def test_what_is_spoken_ends_as_it_is_predicted(trained: Trained) -> None:
    from fastapi.testclient import TestClient

    from qingtiao.serve.api import build_api

    one = trained.inputs[0]
    (expected,) = trained.predictor.predict([one])
    spoken = list(trained.predictor.speak(one))
    _equal(spoken[-1].as_json(), expected.as_json())
    assert isinstance(trained.task, Speaking) or len(spoken) == 1
    client = TestClient(build_api(trained.predictor))
    told = client.post("/speak", json={"inputs": [one]})
    assert told.headers["content-type"].startswith("text/event-stream")
    *growing, end = told.text.removesuffix("\n\n").split("\n\n")
    assert len(growing) == len(spoken)
    assert all(event.startswith("data: {") for event in growing)
    _equal(json.loads(end.removeprefix("event: end\ndata: ")), expected.as_json())
    for inputs in ([], [one, one], [{"no_such_field": 1}]):
        assert client.post("/speak", json={"inputs": inputs}).status_code == 422


def test_the_terminal_talks_with_what_holds_a_conversation(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(trained.result.bundle)
    if "history" not in trained.task.Input.model_fields:
        with pytest.raises(UserError):
            refuse_what_holds_no_conversation(trained.predictor)
        return
    first = {"question": "你好"}
    (expected,) = trained.predictor.predict([first])
    turns = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": expected.text}]
    (second,) = trained.predictor.predict([{"question": "再说一遍", "history": turns}])
    for flags in ([], ["--json"]):
        monkeypatch.setattr("sys.stdin", io.StringIO("你好\n再说一遍\n/new\n\n你好\n/exit\n没人听\n"))
        with pytest.raises(SystemExit) as leaving:
            main(["chat", bundle, *flags])
        told = capsys.readouterr()
        assert not leaving.value.code, told.err
        said = [expected.text, second.text, expected.text]
        if flags:
            assert [json.loads(line)["text"] for line in told.out.splitlines()] == said
        else:
            assert told.out == "".join(f"{text}\n" for text in said)


def test_the_web_form_builds_and_answers(trained: Trained) -> None:
    pytest.importorskip("gradio", reason="the web page needs qingtiao[app]")
    from qingtiao.serve.app import build_app
    from qingtiao.serve.fields import form_fields, holds_conversation

    page = build_app(trained.predictor)
    answer: Callable[..., Any] = next(fn.fn for fn in page.fns.values() if fn.api_name == "predict")
    values = [trained.inputs[0].get(field.name, field.default) for field in form_fields(trained.task)]
    told = answer(*values)
    shown, notice = told if isinstance(told, tuple) else list(told)[-1]
    assert shown is not None
    assert notice.visible is bool(trained.predictor.predict(trained.inputs[:1])[0].notice)
    talks = [fn.fn for fn in page.fns.values() if fn.fn is not None and fn.fn.__name__ == "talk"]
    assert len(talks) == holds_conversation(trained.task)
    for talk in talks:
        *_, (box, said, board, _) = talk("再说一遍", [], "")
        assert (box, said) == ("", board)
        (expected,) = trained.predictor.predict([{"question": "再说一遍"}])
        assert [turn["content"] for turn in said] == ["再说一遍", expected.text]
        *_, (_, kept, board, notice) = talk(" ", said, "")
        assert kept == said and len(board) == 4 and notice.visible


def test_splits_of_the_samples_hold_every_row_once(trained: Trained) -> None:
    from qingtiao.workflows.material import prepare

    prepared = prepare(
        DataConfig(train=f"samples:{trained.name}"),
        task=trained.name,
        task_options={},
        normaliser=Normaliser(NormaliseConfig()),
        max_length=MAX_LENGTH,
        seed=1,
    )
    dataset: Dataset = prepared.dataset
    assert sum(len(rows) for rows in dataset.splits().values()) == len(trained.samples)
    assert dataset.dev and dataset.test
