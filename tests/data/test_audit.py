"""The audit finds what was planted, and the known flaws of a public data set."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest
from data_rows import rows_of

from qingtiao.config import assignments
from qingtiao.data.audit import audit
from qingtiao.data.damage import is_damaged, repaired
from qingtiao.types import Dataset

LONG = "这家酒店的位置非常好，出门就是地铁站，房间也很干净，前台服务热情，下次来还会选择这里"


def codes(dataset: Dataset, *, max_length: int | None = None) -> dict[str, int]:
    report = audit(dataset, max_length=max_length, threshold=0.5)
    json.dumps(report.as_json(), ensure_ascii=False)
    return {f"{finding.code}/{finding.split}": finding.count for finding in report.findings}


def test_clean_data_has_no_findings() -> None:
    rows = rows_of([("味道很好", "1"), ("太难吃了", "0"), ("房间干净", "1"), ("服务恶劣", "0")])
    assert codes(Dataset(rows)) == {}


def test_everything_planted_is_found() -> None:
    train = rows_of(
        [(LONG, "1"), (LONG, "0"), (f" {LONG}", "1"), (LONG + "！", "1"), ("", "0"), ("å¤ªå¥½äº†", "1")]
        + [(f"第{n}条{chr(0x4E00 + n) * 5}", "1") for n in range(30)]
        + [("独一无二的类", "稀有")],
        "train.csv",
    )
    dev = rows_of([(LONG, "1"), ("验证集自己的一句话", "0")], "dev.csv")
    test = rows_of([(LONG.replace("酒店", "宾馆"), "1"), ("验证集自己的一句话", "0")], "test.csv")
    found = codes(Dataset(train, dev, test), max_length=30)
    assert found == {
        "empty/train": 1, "damaged/train": 1, "exact_duplicates/train": 2, "near_duplicates/train": 3,
        "leak_dev_in_train/dev": 1, "leak_test_in_train/test": 1, "leak_test_in_dev/test": 2, "label_conflicts/None": 1,
        "missing_class/dev": 1, "missing_class/test": 1, "rare_class/train": 1, "rare_class/dev": 2,
        "rare_class/test": 2, "imbalance/train": 1, "too_long/train": 4, "too_long/dev": 1, "too_long/test": 1,
    }  # fmt: skip


def test_a_finding_says_where_and_what_to_do_in_both_languages() -> None:
    report = audit(Dataset(rows_of([(LONG, "1"), (LONG, "0")])), max_length=None, threshold=0.5).as_json()
    finding = next(f for f in report["findings"] if f["code"] == "exact_duplicates")
    assert finding["examples"][0]["row"] == 3
    assert finding["examples"][0]["twin"] == "a.csv:2"
    assert all(finding[key][language] for key in ("what", "effect", "fix") for language in ("zh", "en"))
    assert report["label_conflicts"] == 1


def test_every_row_of_a_finding_can_be_had() -> None:
    rows = rows_of([(LONG, "1"), ("别的话", "0"), *[(LONG, "1")] * 9])
    report = audit(Dataset(rows), max_length=None, threshold=0.5)
    (short,), (whole,) = (
        [f for f in told["findings"] if f["code"] == "exact_duplicates"]
        for told in (report.as_json(), report.as_json(every_place=True))
    )
    assert short["count"] == 9
    assert len(short["examples"]) == 5
    assert "places" not in short
    assert whole["places"] == [{"at": f"a.csv:{row}", "twin": "a.csv:2"} for row in range(4, 13)]


def test_places_are_as_many_as_the_count_says() -> None:
    train = rows_of([(LONG, "1"), (LONG, "0"), (LONG + "！", "1"), ("", "0"), ("å¤ªå¥½äº†", "1"), ("独", "稀有")])
    test = rows_of([(LONG, "1"), ("测试集自己的", "０")], "test.csv")
    told = audit(Dataset(train, test=test), max_length=30, threshold=0.5).as_json(every_place=True)["findings"]
    located = {f["code"]: (f["count"], len(f["places"])) for f in told if f["places"]}
    assert len(located) == 9
    assert all(count == places for count, places in located.values()), located


def test_labels_that_look_alike_are_named_with_the_way_to_merge_them() -> None:
    pairs = [("0", 4), ("０", 1), ("Pos", 3), ("pos", 2), ("坏", 3)]
    rows = rows_of([(f"{label}的第{n}句", label) for label, many in pairs for n in range(many)])
    told = audit(Dataset(rows), max_length=None, threshold=0.5, renames=True).as_json()
    (finding,) = [f for f in told["findings"] if f["code"] == "alike_labels"]
    assert finding["severity"] == "warning"
    assert finding["count"] == 3  # the rows of the rarer spellings
    assert finding["what"]["zh"].endswith("0（4）/ ０（1）、Pos（3）/ pos（2）")
    settings = shlex.split(finding["fix"]["zh"])[2::2]
    assert assignments(settings) == {"task_options": {"label_names": {"０": "0", "pos": "Pos"}}}
    assert told["labels"]["train"] == dict(sorted(pairs))
    unnamed = audit(Dataset(rows), max_length=None, threshold=0.5).as_json()["findings"]
    assert not any("label_names" in f["fix"]["zh"] for f in unnamed)


def test_labels_of_a_set_are_compared_too() -> None:
    sets = [("快", "Good"), ("快",), ("good", "慢"), ("Good", "慢")]
    rows = tuple(replace(row, target=sets[n]) for n, row in enumerate(rows_of([(f"第{n}句", "") for n in range(4)])))

    def found(*, renames: bool) -> list[int]:
        report = audit(Dataset(rows), max_length=None, threshold=0.5, renames=renames)
        return [f.count for f in report.findings if f.code == "alike_labels"]

    assert found(renames=True) == [1]
    assert found(renames=False) == []  # a task without names for labels: these are words of the text


def test_errors_come_first() -> None:
    dataset = Dataset(rows_of([(LONG, "1"), (LONG, "1"), ("坏", "0")]), test=rows_of([(LONG, "1")]))
    report = audit(dataset, max_length=None, threshold=0.5)
    assert report.worst == "error"
    assert report.findings[0].severity == "error"


def test_targets_that_are_not_labels_are_no_classes() -> None:
    rows = rows_of([("一", "1"), ("二", "0")])
    rows = tuple(type(row)(row.text, [row.target], row.place) for row in rows)
    report = audit(Dataset(rows), max_length=None, threshold=0.5)
    assert report.counts["labels"] == {}


@pytest.mark.parametrize(
    "text", ["太好了，下次还来", "很好吃的一家店", "Café très bon", "これは美味しいです", "😀😀😀", "饕餮盛宴", ""]
)
def test_sound_text_is_not_damaged(text: str) -> None:
    assert not is_damaged(text)


@pytest.mark.parametrize(
    ("wrong", "right"), [("latin-1", "utf-8"), ("cp1252", "utf-8"), ("gb18030", "utf-8"), ("latin-1", "gb18030")]
)
def test_mojibake_is_undone(wrong: str, right: str) -> None:
    text = "太好吃了下次还来"
    garbled = text.encode(right).decode(wrong, "replace")
    if "�" not in garbled:
        assert repaired(garbled) == text
    assert is_damaged(garbled)


@pytest.mark.parametrize("text", ["味道锟斤拷好", "坏�了", "烫烫烫烫"])
def test_lost_text_is_damaged_and_stays(text: str) -> None:
    assert is_damaged(text)
    assert repaired(text) == text


def test_chnsenticorp_as_it_comes(chnsenticorp: Dataset) -> None:
    counts = audit(chnsenticorp, max_length=126, threshold=0.5).counts
    assert counts["exact_duplicates"]["train"] == 1351
    assert counts["leaks"] == {"test_in_train": 331, "dev_in_train": 338, "test_in_dev": 40}
    assert counts["near_leaks"] == {"test_in_train": 342, "dev_in_train": 349, "test_in_dev": 42}  # as all pairs give
    assert counts["label_conflicts"] == 24
    assert counts["label_conflicts_by_split"] == {"train": 24, "dev": 1, "test": 1, "all": 36}
