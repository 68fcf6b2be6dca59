"""Runs on quantised bases: trained, proved by a fresh process, resumed, merged. Real bitsandbytes on the CPU."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bases import save_base
from safetensors.torch import load_file
from tiny import labelled_texts, save_tiny_base, write_csv

import qingtiao
from qingtiao.bundle import load_bundle, read_manifest
from qingtiao.cli import main
from qingtiao.cli.progress import follow
from qingtiao.config import AdapterConfig, BaseConfig, DataConfig, RunConfig, TrainConfig
from qingtiao.errors import ConfigError, QingtiaoError, RunError
from qingtiao.events import Event, Phase, Proved, Quantised, Started, Step
from qingtiao.models.quantise import quantised_layers
from qingtiao.types import Place, Row
from qingtiao.workflows.merge import Merged, merge
from qingtiao.workflows.train import train

TEXTS = [text for text, _ in labelled_texts()[:16]]


@dataclass(frozen=True)
class Run:
    config: RunConfig
    events: list[Event]

    @property
    def bundle(self) -> Path:
        return Path(self.config.out) / "bundle"

    def only(self, kind: Any) -> Any:
        (event,) = [event for event in self.events if isinstance(event, kind)]
        return event


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases and data: a BERT, a Qwen3 with a head, and one that chats."""
    folder = tmp_path_factory.mktemp("quantised")
    save_tiny_base(folder / "bert")
    save_base(folder / "qwen3", "AutoModelForCausalLM", [text for text, _ in labelled_texts()])
    write_csv(folder / "data.csv", labelled_texts())
    turns = [{"question": text, "answer": "好" * 6 if label == "好" else "坏" * 6} for text, label in labelled_texts()]
    lines = [json.dumps(turn, ensure_ascii=False) for turn in turns]
    (folder / "chat.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def config(folder: Path, base: str, how: Any, *, task: str = "text_classification", out: str = "") -> RunConfig:
    precision, epochs = ("bf16", 6) if base == "bert" else ("fp32", 2)
    return RunConfig(
        data=DataConfig(train=str(folder / ("chat.jsonl" if task == "chat" else "data.csv"))),
        task=task,
        out=str(folder / (out or f"{base}-{how}-{task}")),
        base=BaseConfig(name=str(folder / base), max_length=64, quantize=how),
        adapter=AdapterConfig(dropout=0),
        train=TrainConfig(epochs=epochs, learning_rate=5e-3, batch_size=8, precision=precision),
    )


RUNS = [
    ("bert", "4bit", "text_classification"),
    ("bert", "8bit", "text_classification"),
    ("qwen3", "4bit", "chat"),
    ("qwen3", "8bit", "text_classification"),
]


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def run(request: pytest.FixtureRequest, folder: Path) -> Run:
    base, how, task = request.param
    settings = config(folder, base, how, task=task)
    return Run(settings, list(train(settings)))


def test_it_trains_and_a_fresh_process_gives_the_same_logits(run: Run) -> None:
    losses = [event.loss for event in run.events if isinstance(event, Step)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    # The same weights quantised by the same code: no rounding between the two.
    assert run.only(Proved).max_abs_logit_difference < 1e-6


def test_memory_is_told_and_falls(run: Run) -> None:
    told = run.only(Quantised)
    assert told.how == run.config.base.quantize and told.layers >= 12
    assert told.bytes_after < 0.8 * told.bytes_before
    log = (Path(run.config.out) / "events.jsonl").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in map(json.loads, log) if line["event"] == "quantised"]
    assert line["bytes_before"] == told.bytes_before
    started = run.only(Started)
    assert started.trainable_parameters < started.parameters


def test_the_bundle_knows_how_its_base_was_quantised(run: Run) -> None:
    manifest = read_manifest(run.bundle)
    assert manifest.base.quantize == run.config.base.quantize
    assert len(kept(load_bundle(run.bundle).model)) == run.only(Quantised).layers
    tensors = load_file(run.bundle / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    report = json.loads((Path(run.config.out) / "report.json").read_text(encoding="utf-8"))
    assert report["base"]["quantize"] == run.config.base.quantize


def kept(model: Any) -> list[Any]:
    kinds = tuple(quantised_layers().LAYERS.values())
    return [layer for layer in model.modules() if isinstance(layer, kinds)]


def test_prediction_gives_what_training_gave(run: Run) -> None:
    """The adapter stays apart by default: folding it into quantised weights would change what it does."""
    predictor, apart = qingtiao.load(run.bundle), load_bundle(run.bundle, merge=False)
    rows = [Row(text, ("好",) if run.config.task == "chat" else "好", Place("t", n)) for n, text in enumerate(TEXTS)]
    if run.config.task == "chat":
        assert [answer.text for answer in predictor.predict(TEXTS[:2])] == [a.text for a in apart.predict(TEXTS[:2])]
        return
    for one, other in zip(predictor.judge(rows), apart.judge(rows), strict=True):
        assert np.array_equal(one, other)


def test_merging_keeps_full_weights_and_tells_the_difference(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import transformers

    told = str(tmp_path / "merged")
    with pytest.raises(SystemExit):
        main(["merge", str(run.bundle), "--out", told, "--data", run.config.data.train, "--json"])
    merged = Merged(**json.loads(capsys.readouterr().out))
    # In 8 bits prediction rounds the inputs of layers too, which merged weights cannot do after it.
    assert merged.max_abs_logit_difference < (1e-4 if run.config.base.quantize == "4bit" else 0.2)
    assert (merged.rows, merged.quantize) == (120, run.config.base.quantize)
    assert merged.bytes == pytest.approx(run.only(Quantised).bytes_before, rel=0.05)
    predictor = load_bundle(run.bundle, merge=True)
    assert kept(predictor.model) == []
    auto = getattr(transformers, predictor.task.auto_class)
    plain = auto.from_pretrained(tmp_path / "merged", dtype="auto").eval()
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.float32}
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "merged")(
        TEXTS[:3], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        assert torch.allclose(plain(**inputs).logits, predictor.model(**inputs).logits, atol=1e-6)
    with pytest.raises(RunError):
        merge(run.bundle, tmp_path / "merged")


def trained_to_the_end(events: Iterable[Event], out: str) -> bytes:
    """The best weights when training is over; the run is left before it is judged."""
    next(event for event in events if event == Phase("evaluate"))
    newest = sorted(Path(out, "checkpoints").glob("step-*"))[-1]
    return (newest / "best.safetensors").read_bytes()


def test_a_run_that_was_cut_off_ends_with_the_same_adapter(folder: Path) -> None:
    whole, cut = (config(folder, "bert", "4bit", out=out) for out in ("whole", "cut"))
    expected = trained_to_the_end(train(whole), whole.out)
    events = train(cut)
    next(event for event in events if isinstance(event, Step) and event.step == 15)  # after a look at dev rows
    events.close()
    events = train(cut, resume=True)
    assert next(event for event in events if isinstance(event, Started)).first_step == 15
    assert trained_to_the_end(events, cut.out) == expected


def test_another_quantisation_does_not_go_on_where_a_run_stopped(folder: Path) -> None:
    events = train(config(folder, "bert", "4bit", out="mixed"))
    next(event for event in events if isinstance(event, Step))
    events.close()
    with pytest.raises(RunError):
        list(train(config(folder, "bert", "8bit", out="mixed"), resume=True))


def test_full_fine_tuning_is_refused_before_anything_is_read(folder: Path) -> None:
    settings = config(folder, "bert", "4bit", out="full").model_copy(update={"adapter": AdapterConfig(method="full")})
    with pytest.raises(ConfigError, match="full"):
        next(iter(train(settings)))


def test_the_command_shows_the_memory_and_refuses_other_bits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def events() -> Generator[Event, None, None]:
        yield Quantised("4bit", 12, 3 * 2**20, 2**20)

    follow(events(), out="out", quiet=False)
    assert "基座的 12 层量化成 4bit：权重 3.0 MiB → 1.0 MiB" in capsys.readouterr().err
    with pytest.raises(SystemExit) as leaving:
        main(["train", "--data", str(folder / "data.csv"), "--quantize", "5bit", "--out", str(folder / "wrong")])
    assert leaving.value.code == 2
    told = capsys.readouterr().err
    assert "base.quantize" in told and "8bit" in told
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)


def test_errors_of_merging_are_ours() -> None:
    with pytest.raises(QingtiaoError):
        merge(Path("no-such-bundle"), Path("nowhere"))
