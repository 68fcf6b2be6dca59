"""Bundles: what is saved reloads to the same logits, also through PEFT alone; what is damaged is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import labelled_texts, write_csv

import qingtiao
from qingtiao.bundle import load_bundle, read_manifest
from qingtiao.config import BaseConfig, DataConfig, RunConfig, TrainConfig
from qingtiao.errors import BundleError, QingtiaoError
from qingtiao.events import Proved
from qingtiao.proof import prove
from qingtiao.types import Place, Row
from qingtiao.workflows.train import train

TEXTS = ["很好吃！", "太难吃。", "服务周到，朋友也这么说", "房间干净值得推荐" * 5]
ROWS = [Row(text, "好", Place("test", number)) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def run(tiny_base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = write_csv(folder / "data.csv", labelled_texts())
    config = RunConfig(
        data=DataConfig(train=str(data)),
        out=str(folder / "out"),
        base=BaseConfig(name=tiny_base, max_length=32),
        train=TrainConfig(epochs=4, learning_rate=5e-3, batch_size=8),
    )
    events = list(train(config))
    proved = [event for event in events if isinstance(event, Proved)]
    assert len(proved) == 1 and proved[0].max_abs_logit_difference < 1e-5
    return folder / "out"


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(run / "bundle", tmp_path / "bundle"))


def test_the_folder_holds_what_it_should(run: Path) -> None:
    names = {path.name for path in (run / "bundle").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "qingtiao.json", "README.md"} <= names
    manifest = read_manifest(run / "bundle")
    assert manifest.task == "text_classification"
    assert manifest.task_state["labels"] == ["坏", "好"]
    assert manifest.proof is not None and manifest.data["train"]["rows"] > 0
    assert not (run / "checkpoints").exists()
    for name in ("report.json", "report.html", "events.jsonl", "config.yaml"):
        assert (run / name).is_file()


def test_predictions_are_by_label_name_and_sum_to_one(run: Path) -> None:
    answers = qingtiao.load(run / "bundle").predict(TEXTS)
    assert len(answers) == 4
    for answer in answers:
        assert set(answer.probabilities) == {"好", "坏"}
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.label == max(answer.probabilities, key=lambda name: answer.probabilities[name])
    assert answers[3].notice is not None and "32" in answers[3].notice


def test_empty_text_gets_the_training_shares(run: Path) -> None:
    predictor = qingtiao.load(run / "bundle")
    blank, spoken = predictor.predict([" \u200b\n", "很好吃"])
    assert blank.notice is not None and spoken.notice is None
    assert dict(blank.probabilities) == dict(zip(predictor.labels, predictor.task.classes.shares, strict=True))  # type: ignore[attr-defined]


def test_order_and_batching_do_not_matter(run: Path) -> None:
    predictor = qingtiao.load(run / "bundle")
    texts = [text for text, _ in labelled_texts()]
    together = predictor.predict(texts)
    alone = [predictor.predict([text])[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert [a.label for a in predictor.stream(iter(texts * 12))] == [a.label for a in together] * 12


def test_a_bare_string_is_refused(run: Path) -> None:
    with pytest.raises(TypeError):
        qingtiao.load(run / "bundle").predict("很好吃")  # type: ignore[arg-type]


def test_vanilla_peft_gives_the_same_logits(run: Path, tiny_base: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    expected = np.stack(load_bundle(run / "bundle", merge=False).judge(ROWS[:3]))
    base = AutoModelForSequenceClassification.from_pretrained(tiny_base, num_labels=2)
    model = PeftModel.from_pretrained(base, str(run / "bundle")).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(run / "bundle"))
    with torch.no_grad():
        logits = model(
            **tokenizer(["很好吃!", "太难吃。", "服务周到,朋友也这么说"], padding=True, return_tensors="pt")
        ).logits
    assert np.abs(logits.numpy() - expected).max() < 1e-5


def test_merging_moves_logits_by_rounding_only(run: Path) -> None:
    merged, unmerged = (np.stack(load_bundle(run / "bundle", merge=merge).judge(ROWS)) for merge in (True, False))
    assert np.abs(merged - unmerged).max() < 1e-5


def test_a_wrong_proof_fails(run: Path) -> None:
    expected = load_bundle(run / "bundle", merge=False).judge(ROWS)
    assert prove(run / "bundle", ROWS, expected) < 1e-5
    with pytest.raises(QingtiaoError, match="Δlogit"):
        prove(run / "bundle", ROWS, [logits + 0.01 for logits in expected])


# --- damage -------------------------------------------------------------------------------------


def tensors_changed(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return damage


def manifest_changed(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "qingtiao.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")

    return damage


def files_changed(folder: Path, changes: dict[str, str]) -> None:
    files = json.loads((folder / "qingtiao.json").read_text(encoding="utf-8"))["files"]
    manifest_changed(files={**files, **changes})(folder)


def changed_text(path: Path, old: str, new: str) -> None:
    """`old` and `new` take each other's place; the file stays as long as it was, and can still be read."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, "\0").replace(new, old).replace("\0", new), encoding="utf-8")


def state_changed(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        state = json.loads((folder / "qingtiao.json").read_text(encoding="utf-8"))["task_state"]
        manifest_changed(task_state={**state, **changes})(folder)

    return damage


def first(tensors: dict[str, torch.Tensor]) -> str:
    return sorted(tensors)[0]


def without_manifest_key(folder: Path) -> None:
    path = folder / "qingtiao.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["base"]
    path.write_text(json.dumps(values), encoding="utf-8")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing tensor": tensors_changed(lambda t: t.pop(first(t))),
    "extra tensor": tensors_changed(lambda t: t.update({"base_model.model.extra": torch.ones(2)})),
    "misshapen tensor": tensors_changed(lambda t: t.update({first(t): torch.ones(3, 3)})),
    "nan": tensors_changed(lambda t: t[first(t)].view(-1)[0].fill_(float("nan"))),
    "inf": tensors_changed(lambda t: t[first(t)].view(-1)[0].fill_(float("inf"))),
    "more alpha": lambda f: changed_text(f / "adapter_config.json", '"lora_alpha": 16', '"lora_alpha": 96'),
    "two tokens changed about": lambda f: changed_text(f / "tokenizer.json", '"好"', '"坏"'),
    "no tokenizer config": lambda f: (f / "tokenizer_config.json").unlink(),
    "a file elsewhere": lambda f: files_changed(f, {"../../other": "0" * 64}),
    "a file that is none": lambda f: files_changed(f, {"..": "0" * 64}),
    "no file is listed": manifest_changed(files={}),
    "changed value": tensors_changed(lambda t: t[first(t)].add_(0.5)),
    "cut file": lambda f: (f / "adapter_model.safetensors").write_bytes(
        (f / "adapter_model.safetensors").read_bytes()[:300]
    ),
    "no adapter": lambda f: (f / "adapter_model.safetensors").unlink(),
    "pickle beside": lambda f: (f / "adapter_model.bin").write_bytes(b"\x80\x04."),
    "pickle instead": lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"),
    "no config": lambda f: (f / "adapter_config.json").unlink(),
    "broken config": lambda f: (f / "adapter_config.json").write_text("{", encoding="utf-8"),
    "strange config": lambda f: (f / "adapter_config.json").write_text('{"peft_type": "NOPE"}', encoding="utf-8"),
    "no manifest": lambda f: (f / "qingtiao.json").unlink(),
    "broken manifest": lambda f: (f / "qingtiao.json").write_text("not json", encoding="utf-8"),
    "manifest of a list": lambda f: (f / "qingtiao.json").write_text("[]", encoding="utf-8"),
    "manifest without base": without_manifest_key,
    "newer format": manifest_changed(format=99),
    "unknown task": manifest_changed(task="no_such_task"),
    "task outside the folder": manifest_changed(task="../../os"),
    "three labels": state_changed(labels=["a", "b", "c"], shares=[0.3, 0.3, 0.4]),
    "equal labels": state_changed(labels=["a", "a"]),
    "labels of numbers": state_changed(labels=[1, 2]),
    "no labels": manifest_changed(task_state={}),
    "zero temperature": state_changed(temperature=0),
    "broken tokenizer": lambda f: (f / "tokenizer.json").write_text("{}", encoding="utf-8"),
    "another base": lambda f: manifest_changed(
        base={**json.loads((f / "qingtiao.json").read_text(encoding="utf-8"))["base"], "fingerprint": "0" * 64}
    )(f),
}


def test_the_list_of_damage_is_whole() -> None:
    assert len(DAMAGE) == 33


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_a_damaged_bundle_is_refused(bundle: Path, name: str) -> None:
    DAMAGE[name](bundle)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert caught.value.exit_code == 2
    assert str(bundle) in caught.value.what and caught.value.todo


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no config", "adapter_config.json：没有这个文件"),  # never asked of the Hub
        ("no tokenizer config", "tokenizer_config.json：没有这个文件"),
        ("more alpha", "adapter_config.json：校验和"),
        ("two tokens changed about", "tokenizer.json：校验和"),
    ],
)
def test_what_would_load_and_answer_otherwise_is_named(bundle: Path, name: str, reason: str) -> None:
    DAMAGE[name](bundle)
    with pytest.raises(BundleError, match=reason):
        load_bundle(bundle)


def test_a_pickle_is_never_opened(bundle: Path, tmp_path: Path) -> None:
    """A hostile bundle that would run code on unpickling."""
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (bundle / "adapter_model.safetensors").unlink()
    (bundle / "adapter_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BundleError):
        load_bundle(bundle)
    assert not (tmp_path / "ran").exists()


def test_same_shape_other_weights_is_refused(bundle: Path, tmp_path: Path, tiny_base: str) -> None:
    """PEFT alone loads this without a word and answers nonsense."""
    from transformers import AutoModel

    other = Path(shutil.copytree(tiny_base, tmp_path / "other"))
    model = AutoModel.from_pretrained(other, add_pooling_layer=False)
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    model.save_pretrained(other)
    with pytest.raises(BundleError, match="另一份基座"):
        load_bundle(bundle, base=str(other))
    assert load_bundle(bundle, base=tiny_base).labels == ("坏", "好")


def test_the_run_folder_instead_of_the_bundle_is_hinted_at(run: Path) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(run)
    assert str(run / "bundle") in caught.value.todo
