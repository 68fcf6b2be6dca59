"""Every method on every task, tiny: it trains, comes back as it was saved and merges to the same, or is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from architectures import ARCHITECTURES, PEFT_TASK_TYPES, load_options, save_architecture
from bases import save_base

from qingtiao.bundle import load_bundle, save_bundle
from qingtiao.config import AdapterConfig, NormaliseConfig, Quantize
from qingtiao.errors import ConfigError
from qingtiao.events import Finished, Step
from qingtiao.models.adapter import add_adapter, trainable, trainable_state
from qingtiao.models.base import LoadedBase, load_base, longest_input
from qingtiao.models.forward import run_rows
from qingtiao.models.methods import METHODS, method_named, option_names, peft_types, prompt_length
from qingtiao.models.quantise import quantise
from qingtiao.task import Chosen, Task, find_task, task_names
from qingtiao.train.checkpoint import CheckpointStore
from qingtiao.train.loop import Material, Plan, train
from qingtiao.workflows.material import sample_records

ROWS, LENGTH = 6, 48
PLAN = Plan(
    epochs=5,
    learning_rate=1e-2,
    batch_size=3,
    accumulation=1,
    warmup=0.0,
    weight_decay=0.0,
    clip=1.0,
    precision="fp32",
    group_by_length=False,
    metric=Chosen("loss", False),
    patience=0,
    seed=0,
    checkpoint_seconds=1e9,
)
CPU = torch.device("cpu")
# These speak with the vocabulary that the base brought, or compare with it: no head is new.
HEADLESS = ("chat", "label_scoring", "seq2seq", "image_text", "image_caption")
# Prompts lengthen what is tagged, and CLIP has no one place for them. Keys and values before those of a picture's
# tokens make Qwen-VL lose count.
REFUSED = {
    *((task, "head") for task in HEADLESS),
    *((task, method) for task in ("token_classification", "keywords") for method in ("prompt_tuning", "p_tuning")),
    *(("image_text", method) for method in ("prefix_tuning", "prompt_tuning", "p_tuning")),
    ("image_caption", "prefix_tuning"),
}
PAIRS = [(task, method) for task in task_names() for method in METHODS]
TRAINED = [pair for pair in PAIRS if pair not in REFUSED]
# What has nothing to fold into the weights.
UNMERGED = ("prefix_tuning", "prompt_tuning", "p_tuning")


@dataclass(frozen=True)
class Setting:
    """What all methods of a task share."""

    name: str
    folder: str
    task: Task
    rows: list[Any]

    def base(self, method: str = "lora") -> LoadedBase:
        """As `method` takes it: LoftQ wants it quantised."""
        set_seed(0)
        base = load_base(
            self.folder,
            revision=None,
            auto_class=self.task.auto_class,
            processor_class=self.task.processor_class,
            model_options=self.task.model_options(),
        )
        quantise(base, quantised_for(method), adapter=AdapterConfig(method=method))
        return base

    def material(self, base: LoadedBase) -> Material:
        features = self.task.encode(self.rows[:ROWS], base.tokenizer, LENGTH)
        return Material(features, (), (), lambda some: self.task.collate(some, base.tokenizer))


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def of(name: str) -> Setting:
        kind = find_task(name)
        rows = kind.parse(sample_records(name), options=kind.Options(), columns={}, labelled=True)
        folder = tmp_path_factory.mktemp(name)
        save_base(folder, kind.auto_class, (str(sample) for sample in kind.samples))
        return Setting(name, str(folder), kind.fit(rows, kind.Options()), rows)

    return of


def quantised_for(method: str) -> Quantize:
    return "4bit" if method == "loftq" else "none"


def adapted(base: LoadedBase, task: Task, **settings: Any) -> Any:
    return add_adapter(base, AdapterConfig(**settings), peft_task_type=task.peft_task_type, seed=0)


def plan_of(method: str) -> Plan:
    """All rows at each of six steps: a loss that compares the rows of a batch must not change with what is beside."""
    rate = 1e-3 if method == "full" else 5e-3
    return replace(PLAN, learning_rate=rate, batch_size=ROWS, epochs=6)


def loss_of(model: Any, task: Task, material: Material) -> float:
    """Of all rows, without dropout."""
    model.eval()
    with torch.no_grad():
        return float(task.loss(model, material.collate(material.train_features)))


def judged(model: Any, task: Task, material: Material) -> list[Any]:
    return run_rows(model, material.train_features, material.collate, task.judge, device=CPU, precision="fp32")


def save(folder: Path, model: Any, base: LoadedBase, setting: Setting, *, method: str = "lora") -> Path:
    facts = {"name": base.name, "revision": base.revision, "fingerprint": base.fingerprint}
    manifest = {
        "task": setting.name,
        "task_state": setting.task.state(),
        "normalise": NormaliseConfig(),
        "max_length": LENGTH,
        "base": {**facts, "quantize": quantised_for(method)},
        "data": {},
        "metrics": {},
        "versions": {},
    }
    save_bundle(folder, model=model, tokenizer=base.tokenizer, manifest=manifest)
    return folder


def furthest(some: list[Any], others: list[Any]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))


def test_the_pairs_are_counted() -> None:
    assert (len(METHODS), len(task_names())) == (17, 11)
    assert set(PAIRS) >= REFUSED
    assert (len(TRAINED), len(REFUSED)) == (174, 13)


@pytest.mark.parametrize(("name", "method"), TRAINED)
def test_it_trains_comes_back_and_merges(name: str, method: str, setting: Any, tmp_path: Path) -> None:
    mine: Setting = setting(name)
    base = mine.base(method)
    model = adapted(base, mine.task, method=method)
    material = mine.material(base)
    before, loss = judged(model, mine.task, material), loss_of(model, mine.task, material)
    steps = [event for event in train(model, mine.task, material, plan_of(method)) if isinstance(event, Step)]
    assert len(steps) == 6
    assert loss_of(model, mine.task, material) < loss
    after = judged(model, mine.task, material)
    assert furthest(before, after) > 1e-4
    bundle = save(tmp_path / "bundle", model, base, mine, method=method)
    reloaded = load_bundle(bundle, merge=False).model
    assert furthest(judged(reloaded, mine.task, material), after) < 1e-5
    merged = load_bundle(bundle, merge=True).model
    assert hasattr(merged, "peft_config") == (method in UNMERGED)
    assert furthest(judged(merged, mine.task, material), after) < 1e-4


@pytest.mark.parametrize(("name", "method"), sorted(REFUSED))
def test_what_cannot_work_is_refused_before_the_first_step(name: str, method: str, setting: Any) -> None:
    mine: Setting = setting(name)
    base = mine.base()
    with pytest.raises(ConfigError, match=method) as refusal:
        next(train(adapted(base, mine.task, method=method), mine.task, mine.material(base), PLAN))
    assert method in refusal.value.en and "lora" in refusal.value.todo_en


# What prompts do to other architectures under the same task.
@pytest.mark.parametrize(
    ("architecture", "method"),
    [
        ("modernbert", "prefix_tuning"),  # reads no keys and values from outside
        ("qwen3", "prompt_tuning"),  # looks for the end of a row among token ids, which prompts are not
        ("qwen3", "p_tuning"),
        ("bart", "prompt_tuning"),  # looks for it so too
        ("bart", "prefix_tuning"),
    ],
)
def test_a_base_that_cannot_do_with_prompts(architecture: str, method: str, setting: Any, tmp_path: Path) -> None:
    mine: Setting = setting("text_classification")
    texts = [str(sample) for sample in find_task(mine.name).samples]
    other = replace(mine, folder=save_architecture(architecture, tmp_path, texts=texts))
    base = other.base()
    with pytest.raises(ConfigError, match=method):
        next(train(adapted(base, other.task, method=method), other.task, other.material(base), PLAN))


def test_prompts_take_positions_from_long_texts(setting: Any) -> None:
    mine: Setting = setting("text_classification")
    base = mine.base()
    config = AdapterConfig(method="prompt_tuning", options={"num_virtual_tokens": 30})
    room = longest_input(base, 512, prompts=prompt_length(config))
    assert room == base.model.config.max_position_embeddings - 30
    long = [replace(row, text=row.text * 99) for row in mine.rows[:ROWS]]
    model = add_adapter(base, config, peft_task_type=mine.task.peft_task_type, seed=0)
    for length, fits in ((room, True), (room + 1, False)):
        features = mine.task.encode(long, base.tokenizer, length)
        assert {len(feature["input_ids"]) for feature in features} == {length}
        material = replace(mine.material(base), train_features=features)
        if fits:
            assert np.isfinite(loss_of(model, mine.task, material))
        else:
            with pytest.raises(ConfigError, match="prompt_tuning"):
                next(train(model, mine.task, material, PLAN))


def test_the_rehearsal_leaves_no_trace(setting: Any) -> None:
    from qingtiao.train.rehearsal import rehearse

    mine: Setting = setting("text_classification")
    base = mine.base()
    model, material = adapted(base, mine.task, method="prompt_tuning").train(), mine.material(base)
    before, random = trainable_state(model), torch.get_rng_state()
    rehearse(model, mine.task, material.train_features, material.collate, device=CPU)
    assert model.training
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in trainable_state(model).items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"init_lora_weights": "olora"}])
def test_pissa_is_saved_as_plain_lora_of_twice_the_rank(options: dict[str, Any], setting: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    mine: Setting = setting("text_classification")
    base = mine.base()
    method = "lora" if "init_lora_weights" in options else "pissa"
    untouched = base.model.bert.encoder.layer[0].attention.self.query.weight.detach().clone()
    model = adapted(base, mine.task, method=method, options=options)
    material = mine.material(base)
    rest = model.base_model.model.bert.encoder.layer[0].attention.self.query.base_layer.weight
    assert rest.dtype == torch.float32 and not torch.allclose(rest, untouched, atol=1e-3)
    list(train(model, mine.task, material, PLAN))
    expected = judged(model, mine.task, material)
    bundle = save(tmp_path / "bundle", model, base, mine)
    config = json.loads((bundle / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["init_lora_weights"] is True and config["r"] == 16
    assert model.peft_config["default"].r == 8  # as it was
    vanilla = PeftModel.from_pretrained(mine.base().model, str(bundle))
    assert furthest(judged(vanilla, mine.task, material), expected) < 1e-5


def test_pissa_with_dora_is_refused(setting: Any) -> None:
    mine: Setting = setting("text_classification")
    with pytest.raises(ConfigError, match="use_dora"):
        adapted(mine.base(), mine.task, method="pissa", options={"use_dora": True})


def test_two_rates_of_lora_plus(setting: Any) -> None:
    from qingtiao.train.optim import adamw, set_rate

    mine: Setting = setting("text_classification")
    model = adapted(mine.base(), mine.task, method="loraplus")
    optimizer = adamw(model, learning_rate=1.0, weight_decay=0.1, ratio_of_b=4.0)
    set_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in trainable(model).items():
        assert rates[id(parameter)] == (2.0 if "lora_B" in name else 0.5), name
    assert len(rates) == len(trainable(model))


@pytest.mark.parametrize("stop_after", [1, 4, 7, 9])
def test_adalora_resumes_bit_for_bit(stop_after: int, setting: Any, tmp_path: Path) -> None:
    """Stopped before ranks go, while they go, after the last one went."""
    mine: Setting = setting("text_classification")

    def begin() -> tuple[Any, Material]:
        base = mine.base()
        return adapted(base, mine.task, method="adalora"), mine.material(base)

    model, material = begin()
    list(train(model, mine.task, material, PLAN))
    whole = trainable_state(model)
    zero = sum(int((value == 0).sum()) for name, value in whole.items() if "lora_E" in name)
    ranks = sum(value.numel() for name, value in whole.items() if "lora_E" in name)
    assert (ranks - zero, ranks) == (12 * 8, 12 * 12)  # of twelve layers

    store = CheckpointStore(tmp_path)
    model, material = begin()
    loop = train(model, mine.task, material, PLAN, store=store, run="r")
    for event in loop:
        if isinstance(event, Step) and event.step == stop_after:
            break
    loop.close()
    model, material = begin()
    list(train(model, mine.task, material, PLAN, store=store, run="r"))
    assert all(torch.equal(whole[name], value) for name, value in trainable_state(model).items())


def test_adalora_keeps_the_ranks_of_its_best_epoch(setting: Any, tmp_path: Path) -> None:
    """The dev loss is asked to rise, so that the first epoch, at which most ranks were still there, is the best."""
    mine: Setting = setting("text_classification")
    base = mine.base()
    model, material = adapted(base, mine.task, method="adalora"), mine.material(base)
    judging = replace(material, dev_features=material.train_features, dev_rows=tuple(mine.rows[:ROWS]))
    finished = [
        event
        for event in train(model, mine.task, judging, replace(PLAN, metric=Chosen("loss", True)))
        if isinstance(event, Finished)
    ]
    best = max(range(len(finished[0].history)), key=lambda epoch: finished[0].history[epoch]["loss"])
    assert best == 0
    values = trainable_state(model)
    zero = sum(int((value == 0).sum()) for name, value in values.items() if "lora_E" in name)
    assert zero < 12 * 4  # at the end four of twelve are gone in each of twelve layers
    expected = judged(model, mine.task, material)
    bundle = save(tmp_path / "bundle", model, base, mine)
    for merge in (False, True):
        again = judged(load_bundle(bundle, merge=merge).model, mine.task, material)
        assert furthest(again, expected) < 1e-4


@pytest.mark.parametrize("epochs", [1, 2])
def test_adalora_gets_through_a_run_of_a_few_steps(epochs: int, setting: Any) -> None:
    mine: Setting = setting("text_classification")
    base = mine.base()
    model, material = adapted(base, mine.task, method="adalora"), mine.material(base)
    short = replace(PLAN, epochs=epochs, batch_size=ROWS)
    assert sum(isinstance(event, Step) for event in train(model, mine.task, material, short)) == epochs


def test_adalora_refuses_a_schedule_that_leaves_no_step(setting: Any) -> None:
    mine: Setting = setting("text_classification")
    base = mine.base()
    model = adapted(base, mine.task, method="adalora", options={"tinit": 8, "tfinal": 2})
    with pytest.raises(ConfigError, match="tinit"):
        next(train(model, mine.task, mine.material(base), PLAN))
    with pytest.raises(ConfigError, match="init_r"):
        adapted(mine.base(), mine.task, method="adalora", options={"init_r": 8})


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("boft", {"boft_block_size": 5}, "5"),
        ("oft", {"oft_block_size": 7}, "7"),
        ("oft", {"r": 5}, "5"),
        ("miss", {"r": 1000}, "1000"),
    ],
)
def test_blocks_that_do_not_fit_the_layers(method: str, options: dict[str, Any], told: str, setting: Any) -> None:
    mine: Setting = setting("text_classification")
    with pytest.raises(ConfigError, match=told):
        adapted(mine.base(), mine.task, method=method, options=options)


def test_a_number_of_blocks_instead_of_their_size(setting: Any) -> None:
    mine: Setting = setting("text_classification")
    for method, options in (("oft", {"r": 4}), ("boft", {"boft_block_num": 4})):
        assert trainable(adapted(mine.base(), mine.task, method=method, options=options))


def test_ia3_scales_what_the_second_half_of_a_feed_forward_block_reads(setting: Any) -> None:
    mine: Setting = setting("text_classification")
    model = adapted(mine.base(), mine.task, method="ia3")
    sizes = {name.partition(".ia3_l")[0]: p.numel() for name, p in trainable(model).items() if ".ia3_l" in name}
    assert len(sizes) == 12
    for name, size in sizes.items():
        wide = name.endswith("intermediate.dense") or (name.endswith("output.dense") and "attention" not in name)
        assert size == (64 if wide else 32), name


@pytest.mark.parametrize("method", ["loha", "lokr", "hra", "fourierft", "lily"])
def test_a_type_that_only_peft_knows_needs_no_code(method: str, setting: Any, tmp_path: Path) -> None:
    mine: Setting = setting("text_classification")
    assert method not in METHODS
    base = mine.base()
    model, material = adapted(base, mine.task, method=method), mine.material(base)
    list(train(model, mine.task, material, PLAN))
    expected = judged(model, mine.task, material)
    bundle = save(tmp_path / "bundle", model, base, mine)
    for merge in (False, True):  # lily cannot be merged
        again = judged(load_bundle(bundle, merge=merge).model, mine.task, material)
        assert furthest(again, expected) < 1e-4


def test_options_are_those_of_peft_and_some_of_ours() -> None:
    assert {"r", "lora_alpha", "alpha", "dropout", "use_dora"} <= set(option_names("lora"))
    assert "loraplus_lr_ratio" in option_names("loraplus")
    assert "loraplus_lr_ratio" not in option_names("lora")
    assert not {"total_step", "modules_to_save", "task_type"} & set(option_names("adalora"))
    assert option_names("head") == option_names("full") == []
    assert all(option_names(kind) for kind in peft_types())
    assert method_named("DoRA") == METHODS["dora"]


@pytest.mark.parametrize("name", ["qwen3", "t5", "bart", "qwen3_vl", "gpt2"])
def test_full_reaches_every_parameter_where_there_is_no_head(name: str, tmp_path: Path) -> None:
    auto_class = next(iter(ARCHITECTURES[name].heads))
    folder = save_architecture(name, tmp_path)
    base = load_base(folder, revision=None, auto_class=auto_class, model_options=load_options(auto_class))
    expected = {key for key, _ in base.model.named_parameters()}
    kind = PEFT_TASK_TYPES[auto_class]
    moving = trainable(add_adapter(base, AdapterConfig(method="full"), peft_task_type=kind, seed=0))
    plain = {key.removeprefix("base_model.model.").replace("modules_to_save.default.", "") for key in moving}
    assert plain >= expected
