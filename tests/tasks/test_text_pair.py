"""Two texts and a label: which columns, how they are joined for each kind of tokenizer, and an honest baseline."""

from __future__ import annotations

import gzip
import json
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import save_byte_tokenizer, save_char_tokenizer

from qingtiao.config import NormaliseConfig
from qingtiao.data.clean import clean
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.models.inputs import encode_pairs
from qingtiao.tasks.text_pair import PairOptions, Task
from qingtiao.types import Dataset, Place, Record, Row

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tasks" / "tatoeba_pairs.py"


def parse(*records: dict[str, Any], columns: dict[str, str] | None = None, **options: Any) -> list[Row]:
    found = [Record(fields, Place("a.csv", number)) for number, fields in enumerate(records, start=2)]
    return Task.parse(found, options=PairOptions(**options), columns=columns or {}, labelled=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [("text", "text_b"), ("text_a", "text_b"), ("sentence1", "sentence2"), ("premise", "hypothesis"),
     ("query1", "query2"), ("文本一", "文本二"), ("句子1", "句子2"), ("前提", "假设")],
)  # fmt: skip
def test_the_two_columns_are_found_by_their_names(first: str, second: str) -> None:
    (row,) = parse({second: "降温了", "label": "1", first: "天冷了", "id": "7"}, label_names={"1": "同义"})
    assert (row.parts, row.target, dict(row.fields)) == (("天冷了", "降温了"), "同义", {"id": "7"})
    assert row.text == "天冷了\n降温了"


def test_other_names_are_named_and_a_missing_column_says_how() -> None:
    record = {"甲": "天冷了", "乙": "降温了", "label": "1"}
    (row,) = parse(record, columns={"text": "甲", "text_b": "乙"})
    assert row.parts == ("天冷了", "降温了")
    with pytest.raises(DataError, match="text_b"):
        parse(record, columns={"text": "甲"})


def test_text_and_parts_stay_in_step() -> None:
    row = Row("", "1", Place("a.csv", 2)).with_parts(["太好了！！！！！！", "Ａ座\u200b"])
    normal = Task.normalised(row, Normaliser(NormaliseConfig()))
    assert normal.parts == ("太好了!!!", "A座") and normal.text == "太好了!!!\nA座"
    damaged = row.with_parts(["å¤ªå¥½äº†", "降温了"])
    cleaned, _ = clean(Dataset(train=(damaged, row)), threshold=0.5)
    assert cleaned.train[0].parts == ("太好了", "降温了") and cleaned.train[0].text == "太好了\n降温了"


def test_an_encoders_tokenizer_writes_pairs_its_own_way(tmp_path: Path) -> None:
    tokenizer = save_char_tokenizer(tmp_path, characters=list("天冷了降温"))
    ((ids),) = [feature["input_ids"] for feature in encode_pairs(tokenizer, [("天冷", "降温了")], max_length=32)]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "天", "冷", "[SEP]", "降", "温", "了", "[SEP]"]


def test_a_decoders_tokenizer_gets_its_end_token_between(tmp_path: Path) -> None:
    tokenizer = save_byte_tokenizer(tmp_path)
    first, second = (tokenizer(text)["input_ids"] for text in ("很好吃", "真棒"))
    (both,) = encode_pairs(tokenizer, [("很好吃", "真棒")], max_length=64)
    assert both["input_ids"] == [*first, tokenizer.eos_token_id, *second]
    assert both["attention_mask"] == [1] * len(both["input_ids"]) and "cut" not in both
    (empty,) = encode_pairs(tokenizer, [("很好吃", "")], max_length=64)
    assert empty["input_ids"] == [*first, tokenizer.eos_token_id]
    assert encode_pairs(tokenizer, [], max_length=64) == []


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_of_a_long_pair_the_longer_text_is_cut(tmp_path: Path, kind: str) -> None:
    tokenizer = (save_char_tokenizer if kind == "char" else save_byte_tokenizer)(tmp_path)
    short, long = "很好吃", "服务周到房间干净值得推荐" * 4
    whole, cut = encode_pairs(tokenizer, [(short, short), (short, long)], max_length=24)
    assert len(cut["input_ids"]) == 24 and cut["cut"] is True
    assert not whole.get("cut")
    assert tokenizer.decode(cut["input_ids"], skip_special_tokens=True).replace(" ", "").startswith(short)


def test_the_baseline_compares_the_two_texts() -> None:
    """Every sentence stands in a pair of either label, so that only a comparison can tell."""
    texts = [f"第{n}间店的{what}不错" for n in "一二三四五六七八九十" for what in ("汤", "面", "饭", "酒")]
    rows = [
        Row("", label, Place("a.csv", n)).with_parts([text, other])
        for n, text in enumerate(texts)
        for label, other in (("同", text + "吧"), ("异", texts[(n + 7) % len(texts)]))
    ]
    task = Task.fit(rows, PairOptions())
    baselines = task.baselines(rows[:60], seed=0)
    told = [answer.as_json()["label"] for answer in baselines["tfidf"](rows[60:])]
    assert np.mean([one == row.target for one, row in zip(told, rows[60:], strict=True)]) > 0.8
    assert set(baselines) == {"tfidf", "majority"}


def test_tatoeba_pairs_keep_groups_of_translations_apart(tmp_path: Path) -> None:
    script = runpy.run_path(str(SCRIPT))
    source = tmp_path / "pairs.jsonl.gz"
    with gzip.open(source, "wt", encoding="utf-8") as file:
        for n in range(60):
            for zh, en in (
                (f"第{n}天下雨了", f"rain {n}"),
                (f"下雨的第{n}天", f"rain {n}"),
                (f"今天{n}度", f"deg {n}"),
            ):
                file.write(json.dumps({"zh": zh, "en": en}, ensure_ascii=False) + "\n")
    corpus = script["read"](source)
    split_of = script["sides"](corpus.groups, seed=1)
    assert Counter(split_of.values()) == {"train": 84, "dev": 12, "test": 24}
    seen: dict[str, set[str]] = {}
    for split in ("train", "dev", "test"):
        inside = {text: group for text, group in corpus.groups.items() if split_of[group] == split}
        rows = script["rows_of"](corpus, inside, seed=1)
        assert len(rows) >= 4 and sum(row["label"] == script["LIKE"] for row in rows) * 2 == len(rows)
        assert all(
            (corpus.groups[row["text"]] == corpus.groups[row["text_b"]]) == (row["label"] == script["LIKE"])
            for row in rows
        )
        seen[split] = {row[name] for row in rows for name in ("text", "text_b")}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["dev"] and not seen["dev"] & seen["test"]
