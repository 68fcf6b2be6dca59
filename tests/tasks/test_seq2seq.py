"""Text to text: what is read, learnt, written and scored; on T5, mT5, BART and mBART, and with a new decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import save_architecture
from tiny import save_char_tokenizer, save_tiny_base

import qingtiao
from qingtiao.answers import Text
from qingtiao.config import AdapterConfig, BaseConfig, DataConfig, RunConfig, TrainConfig
from qingtiao.data.audit import audit
from qingtiao.data.split import split
from qingtiao.errors import BaseModelError, DataError
from qingtiao.events import Evaluated, Proved
from qingtiao.models.adapter import add_adapter, trainable
from qingtiao.models.base import LoadedBase, load_base
from qingtiao.models.encoder_decoder import texts_of_ids
from qingtiao.tasks.seq2seq import Seq2SeqOptions, Task
from qingtiao.types import Dataset, Place, Record, References, Row
from qingtiao.workflows.train import train

WRITERS = ("t5", "mt5", "bart", "mbart")
PAIRS = [("很好吃真棒", "好吃"), ("太难吃真差", "难吃"), ("房间干净服务周到", "干净"), ("房间肮脏服务恶劣", "肮脏")]


def records(*fields: dict[str, Any]) -> list[Record]:
    return [Record(one, Place("rows.jsonl", number)) for number, one in enumerate(fields, start=1)]


def parsed(*fields: dict[str, Any], labelled: bool = True, **options: Any) -> list[Row]:
    columns = options.pop("columns", {})
    return Task.parse(records(*fields), options=Seq2SeqOptions(**options), columns=columns, labelled=labelled)


def pairs(times: int = 1) -> list[Row]:
    return parsed(*({"text": text, "summary": summary} for text, summary in PAIRS * times))


def fitted(**options: Any) -> Task:
    return Task.fit(pairs(), Seq2SeqOptions(**options))


def loaded(folder: Path, task: Task) -> LoadedBase:
    torch.manual_seed(1)
    return load_base(str(folder), revision=None, auto_class=task.auto_class, model_options=task.model_options())


def adapted(base: LoadedBase, task: Task) -> Any:
    return add_adapter(base, AdapterConfig(dropout=0), peft_task_type=task.peft_task_type, seed=1)


@pytest.fixture(scope="module", params=[*WRITERS, "warm"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    if request.param == "warm":
        save_tiny_base(path)
    else:
        save_architecture(request.param, path)
    return path


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text", "target"),
    [
        ({"content": "正文", "title": "题"}, "正文", "题"),
        ({"标题": "题", "摘要": "摘"}, "摘", "题"),
        ({"原文": "原", "摘要": "摘"}, "原", "摘"),
        ({"en": "Hi", "zh": "嗨"}, "嗨", "Hi"),
        ({"id": 7, "source": "Hi", "译文": "嗨"}, "Hi", "嗨"),
    ],
)
def test_columns_are_found_by_name(fields: dict[str, Any], text: str, target: str) -> None:
    (row,) = parsed(fields)
    assert (row.text, row.target) == (text, References([target]))
    assert "id" not in fields or row.fields == {"id": 7}


def test_columns_are_taken_as_named_and_a_missing_one_is_told() -> None:
    (row,) = parsed({"en": "Hi", "zh": "嗨"}, columns={"text": "en", "target": "zh"})
    assert (row.text, tuple(row.target)) == ("Hi", ("嗨",))
    with pytest.raises(DataError, match="目标列"):
        parsed({"text": "有原文", "other": "x"})


def test_lists_are_alternatives_or_joined() -> None:
    cell = {"text": "原文", "keywords": ["深度学习", "", None, " 图像 "]}
    assert parsed(cell)[0].target == ("深度学习", "图像")
    assert parsed(cell, separator="；")[0].target == ("深度学习；图像",)


@pytest.mark.parametrize("empty", [None, "", "  ", [], [""], float("nan")])
def test_rows_without_a_target_are_refused_with_their_place(empty: Any) -> None:
    with pytest.raises(DataError, match=r"2 行里有 1 行.*rows\.jsonl:2"):
        parsed({"text": "甲", "summary": "乙"}, {"text": "丙", "summary": empty})


def test_unlabelled_rows_need_no_target_and_an_empty_text_gets_a_blank_answer() -> None:
    rows = parsed({"text": "甲"}, {"text": None}, labelled=False)
    assert [(row.text, row.target) for row in rows] == [("甲", None), ("", None)]
    answer = fitted().blank_answer()
    assert answer.as_json()["text"] == "" and answer.notice


def test_one_source_never_stands_in_two_splits() -> None:
    rows = parsed(*({"zh": f"第{i % 40}句原文，说的是第{i % 40}件事", "en": f"t {i}"} for i in range(120)))
    made = split(rows, dev_share=0.2, test_share=0.2, seed=1, threshold=0.9)
    sources = [{row.text for row in part} for part in made.splits().values()]
    assert len(sources) == 3 and sum(map(len, sources)) == 40


def test_the_audit_shows_what_is_to_be_written_as_people_read_it() -> None:
    rows = parsed({"text": "同一篇", "title": ["甲", "乙"]}, {"text": "同一篇", "title": ["甲", "乙"]})
    (found,) = [one for one in audit(Dataset(tuple(rows)), max_length=None, threshold=1).findings if one.where.rows]
    assert found.code == "exact_duplicates"
    assert {example["label"] for example in found.where.examples()} == {"甲、乙"}


# --- scores ---------------------------------------------------------------------------------------


def test_all_references_of_a_source_count_for_each_of_its_rows() -> None:
    rows = parsed({"en": "Hi", "zh": "嗨"}, {"en": "Hi", "zh": "你好"}, columns={"text": "en", "target": "zh"})
    task = Task.fit(rows, Seq2SeqOptions())
    found = task.measure([Text("你好"), Text("嗨")], rows)
    assert all(measure.value(found[measure.name]) == 1 for measure in task.measures if measure.name != "bleu")
    assert len(task.measures) == 5


def test_bleu_cuts_english_by_words() -> None:
    assert fitted().words == "zh"
    english = Task.fit(parsed({"zh": "嗨", "en": "Hello there"}), Seq2SeqOptions())
    assert english.words == "13a"
    assert Task.from_state(json.loads(json.dumps(english.state()))) == english
    with pytest.raises(ValueError, match="words"):
        Task.from_state({**english.state(), "words": "spm"})


def test_baselines_are_a_memory_the_first_sentence_the_beginning_and_a_copy() -> None:
    rows = parsed(
        {"text": "头一句。第二句！", "title": "三个字"}, {"text": "约 3.5 倍的提升.其他", "title": "五个字的题"}
    )
    baselines = dict(fitted().baselines(rows, seed=0))
    remembered = baselines.pop("memory")(parsed({"text": "提升约 3 倍"}, {"text": "第三句"}, labelled=False))
    assert [answer.headline for answer in remembered] == ["五个字的题", "三个字"]
    assert {name: [answer.headline for answer in base(rows)] for name, base in baselines.items()} == {
        "lead": ["头一句。", "约 3.5 倍的提升."],
        "lead_k": ["头一句。", "约 3."],
        "copy": ["头一句。第二句！", "约 3.5 倍的提升.其他"],
    }


# --- on tiny models -------------------------------------------------------------------------------


def test_it_learns_to_write_and_no_vocabulary_is_trained_whole(folder: Path) -> None:
    task = fitted(max_target_length=8)
    base = loaded(folder, task)
    model = adapted(base, task)
    vocabulary = len(base.tokenizer)
    assert not [name for name, p in trainable(model).items() if vocabulary in p.shape]
    features = task.encode(pairs(), base.tokenizer, 64)
    batch = task.collate(features, base.tokenizer)
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=2e-2)
    losses = []
    for _ in range(40):
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.2
    model.eval()
    with torch.inference_mode():
        outputs = task.judge(model, batch)
        answers = task.decode(task.infer(model, batch), pairs(), base.tokenizer)
    assert [len(output) for output in outputs] == [len(feature["labels"]) for feature in features]
    assert task.score(outputs, pairs())["loss"] < losses[0] - 0.2
    assert len(answers) == len(PAIRS) and all(isinstance(answer, Text) for answer in answers)


def test_an_adapter_reloads_to_the_same_losses_and_texts(folder: Path, tmp_path: Path) -> None:
    """By PEFT alone, onto a base whose new parts were drawn with another seed where it has any."""
    from peft import PeftModel

    task = fitted(max_target_length=6)
    base = loaded(folder, task)
    model = adapted(base, task).eval()
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    batch = task.collate(task.encode(pairs(), base.tokenizer, 64), base.tokenizer)
    model.save_pretrained(tmp_path)
    torch.manual_seed(77)
    other = load_base(str(folder), revision=None, auto_class=task.auto_class, model_options=task.model_options())
    untrained = other.model.eval()
    with torch.inference_mode():
        before = task.judge(untrained, batch)
        again = PeftModel.from_pretrained(untrained, str(tmp_path)).eval()
        for one, other_, plain in zip(task.judge(model, batch), task.judge(again, batch), before, strict=True):
            np.testing.assert_allclose(one, other_, atol=1e-5)
            assert np.abs(one - plain).max() > 1e-3
        assert np.array_equal(np.stack(task.infer(model, batch)), np.stack(task.infer(again, batch)))


def test_the_loss_is_that_of_transformers(folder: Path) -> None:
    task = fitted()
    base = loaded(folder, task)
    model = base.model.eval()
    batch = task.collate(task.encode(pairs(), base.tokenizer, 64), base.tokenizer)
    with torch.inference_mode(), pytest.MonkeyPatch.context() as quiet:
        quiet.setattr("warnings.warn", lambda *_, **__: None)  # transformers warns that some losses changed in 2021
        theirs = model(**batch).loss
        ours, judged = task.loss(model, batch), task.judge(model, batch)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)
    assert task.score(judged, pairs())["loss"] == pytest.approx(float(theirs), abs=1e-5)


def test_a_cache_and_a_batch_change_nothing_that_is_written(folder: Path) -> None:
    task = fitted(max_target_length=6)
    base = loaded(folder, task)
    model = base.model.eval()
    features = task.encode([row.unanswered() for row in pairs()], base.tokenizer, 64)
    batch = task.collate(features, base.tokenizer)
    assert set(batch) == {"input_ids", "attention_mask"}
    with torch.inference_mode():
        together = task.infer(model, batch)
        uncached = model.generate(**batch, do_sample=False, max_new_tokens=6, use_cache=False).numpy()
        alone = [task.infer(model, task.collate([feature], base.tokenizer))[0] for feature in features]
    assert np.array_equal(np.stack(together), uncached)
    texts = texts_of_ids(together, base.tokenizer)
    assert texts == texts_of_ids(alone, base.tokenizer)


def test_beams_and_barred_repeats_reach_the_model(tmp_path: Path) -> None:
    save_architecture("bart", tmp_path)
    greedy = fitted(max_target_length=12)
    base = loaded(tmp_path, greedy)
    batch = greedy.collate(greedy.encode([row.unanswered() for row in pairs()], base.tokenizer, 64), base.tokenizer)
    with torch.inference_mode():
        plain = np.stack(greedy.infer(base.model.eval(), batch))
        task = fitted(max_target_length=12, no_repeat_ngram=1, beams=3, length_penalty=2.0)
        barred = task.infer(base.model, batch)
    assert any(len(set(row.tolist())) < len(row) for row in plain)
    for row in barred:
        written = [token for token in row[1:].tolist() if token not in base.tokenizer.all_special_ids]
        assert len(set(written)) == len(written)


@pytest.mark.parametrize("beams", [1, 2])
def test_lengths_that_a_base_is_used_to_are_set_aside(tmp_path: Path, caplog: Any, beams: int) -> None:
    save_architecture("bart", tmp_path)
    task = fitted(max_target_length=5, beams=beams)
    base = loaded(tmp_path, task)
    batch = task.collate(task.encode([row.unanswered() for row in pairs(40)], base.tokenizer, 64), base.tokenizer)
    with torch.inference_mode():
        plain = task.infer(base.model.eval(), batch)
        own = {"min_length": 30, "max_length": 40, "num_beams": 3, "length_penalty": 2.0, "early_stopping": True}
        for name, value in own.items():
            setattr(base.model.generation_config, name, value)
        with caplog.at_level("WARNING"):
            again = task.infer(base.model, batch)
    assert len(plain) == len(again) == 4 * 40
    assert all(np.array_equal(one, other) and len(one) <= 7 for one, other in zip(plain, again, strict=True))
    assert not caplog.records


def test_long_inputs_are_cut_and_targets_end(tmp_path: Path) -> None:
    tokenizer = save_char_tokenizer(tmp_path)
    task = fitted(prefix="好吃", max_target_length=4)
    cut, whole = task.encode(
        parsed({"text": "真棒" * 20, "title": "很好吃真棒"}, {"text": "棒", "title": "棒"}), tokenizer, 16
    )
    assert cut["cut"] and not whole.get("cut")
    assert len(cut["input_ids"]) == 16 and len(cut["labels"]) == 4
    assert tokenizer.decode(whole["input_ids"], skip_special_tokens=True) == "好吃棒"
    assert cut["labels"][-1] == whole["labels"][-1] == tokenizer.eos_token_id
    assert task.weight(cut) == 4


def test_english_is_not_to_be_written_by_a_tokenizer_that_loses_its_spaces() -> None:
    rows = parsed({"zh": "嗨", "en": "Hi"}, {"zh": "我来了", "en": "I am here"})
    task = Task.fit(rows, Seq2SeqOptions())
    base = load_base("mini-zh", revision=None, auto_class=task.auto_class, model_options=task.model_options())
    with pytest.raises(DataError, match=r"rows\.jsonl:2.*“I am here”.*“iamhere”"):
        task.encode(rows, base.tokenizer, 64)
    assert "labels" in task.encode(rows[:1], base.tokenizer, 64)[0]
    chinese = parsed(
        {"en": "Hi", "zh": "嗨"}, {"en": "A net", "zh": "GAN 网络很好用"}, columns={"text": "en", "target": "zh"}
    )
    assert len(Task.fit(chinese, Seq2SeqOptions()).encode(chinese, base.tokenizer, 64)) == 2


def test_answers_that_hit_the_limit_say_so(tmp_path: Path) -> None:
    tokenizer = save_char_tokenizer(tmp_path)
    ids = tokenizer("很好吃")["input_ids"]
    rows = [np.array(ids, dtype=np.float32), np.array(ids[:-1], dtype=np.float32)]
    whole, unfinished = fitted(max_target_length=5).decode(rows, pairs()[:2], tokenizer)
    assert (whole.text, whole.notice) == ("很好吃", None)
    assert unfinished.text == "很好吃" and "5" in (unfinished.notice or "")


def test_chinese_is_written_without_spaces_whatever_the_tokenizer() -> None:
    from transformers import BertTokenizer

    vocabulary = {
        token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "文", "本", "好", "net", "##s", "a"])
    }
    pieces = BertTokenizer(vocab=vocabulary)
    ids = np.array(pieces("文本 nets a 好")["input_ids"])
    assert texts_of_ids([ids], pieces) == ["文本nets a好"]


# --- a decoder for bases that only read -----------------------------------------------------------


def test_a_base_that_only_reads_gets_a_decoder_that_shares_its_words(tmp_path: Path) -> None:
    save_tiny_base(tmp_path)
    task = fitted(new_decoder_layers=2)
    base, again = loaded(tmp_path, task), loaded(tmp_path, task)
    table = base.model.encoder.get_input_embeddings().weight
    assert base.model.decoder.get_input_embeddings().weight is base.model.get_output_embeddings().weight is table
    assert all(name.startswith("decoder.") for name in base.fresh) and len(base.fresh) == 2 * 26 + 5
    assert (base.hidden_size, base.model.config.get_text_config().num_hidden_layers) == (32, 2)
    assert base.fingerprint == again.fingerprint
    for name, parameter in base.model.named_parameters():
        assert torch.equal(parameter, again.model.get_parameter(name)), name
    model = adapted(base, task)
    moving = {name.replace(".modules_to_save.default", "") for name in trainable(model)}
    assert {f"base_model.model.{key}" for key in base.fresh} <= moving
    assert any(".encoder." in name and "lora_A" in name for name in moving)


def test_copying_is_there_from_the_start() -> None:
    """What the new decoder attends to, it writes: its untrained logits favour the words of the source."""
    task = fitted()
    torch.manual_seed(0)
    base = load_base("mini-zh", revision=None, auto_class=task.auto_class, model_options=task.model_options())
    rows = parsed({"text": "图书馆今天闭馆", "title": "闭馆"}, {"text": "列车明天恢复运行", "title": "运行"})
    batch = task.collate(task.encode(rows, base.tokenizer, 64), base.tokenizer)
    with torch.inference_mode():
        start = torch.full((2, 1), base.model.config.decoder_start_token_id)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits = base.model.eval()(**inputs, decoder_input_ids=start).logits[:, 0]
    words = [[i for i in row.tolist() if i not in base.tokenizer.all_special_ids] for row in batch["input_ids"]]
    own = torch.stack([logits[row, words[row]].mean() - logits[row, words[1 - row]].mean() for row in (0, 1)])
    assert (own > 0.5).all()


def test_a_base_that_neither_writes_nor_reads_masks_is_refused(tmp_path: Path) -> None:
    save_architecture("qwen3", tmp_path)
    with pytest.raises(BaseModelError):
        loaded(tmp_path, fitted())


# --- end to end -----------------------------------------------------------------------------------


def test_the_whole_way_with_a_new_decoder(tmp_path: Path) -> None:
    save_tiny_base(tmp_path / "base")
    lines = [
        json.dumps({"content": f"{text}{'！' * (i % 5)}", "title": title}) for i, (text, title) in enumerate(PAIRS * 10)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = RunConfig(
        data=DataConfig(train=str(tmp_path / "rows.jsonl"), dev_share=0.25, test_share=0.25, near_duplicate=1.0),
        task="seq2seq",
        task_options={"max_target_length": 8, "new_decoder_layers": 1},
        base=BaseConfig(name=str(tmp_path / "base"), max_length=32),
        train=TrainConfig(epochs=4, learning_rate=1e-2, batch_size=4, precision="fp32"),
        out=str(tmp_path / "out"),
    )
    loop, events = train(config), []
    try:
        while True:
            events.append(next(loop))
    except StopIteration as end:
        result = end.value
    looks = [event.metrics["loss"] for event in events if isinstance(event, Evaluated)]
    assert len(looks) == 4 and looks[-1] < looks[0] - 0.1
    (proved,) = [event for event in events if isinstance(event, Proved)]
    assert proved.max_abs_logit_difference <= 1e-4
    report = json.loads(result.report_json.read_text(encoding="utf-8"))
    assert set(report["baselines"]) == {"memory", "lead", "lead_k", "copy"}
    assert report["test"]["rouge_l"] <= report["test"]["rouge_l_ci"][1]
    predictor = qingtiao.load(result.bundle)
    (answer,) = predictor.predict(["很好吃真棒"])
    assert isinstance(answer, Text)
