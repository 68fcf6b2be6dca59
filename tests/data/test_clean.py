"""Cleaning: what goes, what stays, and a log of all of it."""

from __future__ import annotations

from collections import Counter

from data_rows import rows_of

from qingtiao.data.audit import audit
from qingtiao.data.clean import clean, clean_dev, clean_test
from qingtiao.types import Dataset

LONG = "这家酒店的位置非常好，出门就是地铁站，房间也很干净，前台服务热情，下次来还会选择这里"
DATA = Dataset(
    train=rows_of(
        [
            ("好", "1"),
            ("好", "1"),
            ("", "0"),
            ("吵", "1"),
            ("吵", "0"),
            ("å¤ªå¥½äº†", "1"),
            ("坏�了", "0"),
            (LONG, "1"),
        ],
        "train.csv",
    ),
    dev=rows_of([("一般般", "0"), (LONG + "！", "1"), ("还可以吧", "1")], "dev.csv"),
    test=rows_of([(LONG, "1"), ("", "0"), ("还可以吧", "1"), ("还可以吧", "0")], "test.csv"),
)


def test_what_goes_and_what_stays() -> None:
    cleaned, _ = clean(DATA, threshold=0.5)
    assert [row.text for row in cleaned.train] == ["好", "太好了"]
    assert [row.text for row in cleaned.dev] == ["一般般"]
    assert cleaned.test == DATA.test


def test_every_touched_row_is_in_the_log() -> None:
    cleaned, log = clean(DATA, threshold=0.5)
    reasons = Counter((item.split, item.reason) for item in log)
    assert reasons == {
        ("train", "mojibake"): 1, ("train", "empty"): 1, ("train", "damaged"): 1, ("train", "contradiction"): 2,
        ("train", "duplicate"): 1, ("train", "leak"): 1, ("dev", "leak"): 2,
    }  # fmt: skip
    dropped = {item.place for item in log if item.action == "dropped"}
    before = {row.place for rows in DATA.splits().values() for row in rows}
    after = {row.place for rows in cleaned.splits().values() for row in rows}
    assert before - after == dropped
    duplicate = next(item for item in log if item.reason == "duplicate")
    assert duplicate.as_json()["twin"] == "train.csv:2"
    repaired = next(item for item in log if item.action == "repaired")
    assert (repaired.before, repaired.after) == ("å¤ªå¥½äº†", "太好了")


def test_cleaning_twice_touches_nothing_more() -> None:
    cleaned, _ = clean(DATA, threshold=0.5)
    again, log = clean(cleaned, threshold=0.5)
    assert again == cleaned
    assert log == []


def test_the_rows_a_score_can_be_trusted_on() -> None:
    assert [row.place.row for row in clean_dev(DATA, threshold=0.5)] == [2, 4]
    fresh = rows_of([("没见过的一句话", "1"), (LONG, "1"), ("还可以吧", "1")], "test.csv")
    dataset = Dataset(DATA.train, DATA.dev, fresh)  # the second row is in train, the third in dev
    assert [row.place.row for row in clean_test(dataset, threshold=0.5)] == [2]
    assert clean_test(Dataset(DATA.train), threshold=0.5) == ()


def test_chnsenticorp_cleaned(chnsenticorp: Dataset) -> None:
    assert len(clean_test(chnsenticorp, threshold=0.5)) == 1200 - 377  # 342 are near train, 35 more near dev
    cleaned, log = clean(chnsenticorp, threshold=0.5)
    assert cleaned.test == chnsenticorp.test
    assert len(log) == 10_800 - len(cleaned.train) - len(cleaned.dev)
    counts = audit(cleaned, max_length=None, threshold=0.5).counts
    assert counts["near_leaks"] == {"test_in_train": 0, "dev_in_train": 0, "test_in_dev": 0}
    assert counts["exact_duplicates"]["train"] == 0
