"""Sources: files, the embedded set, and a folder loaded through the very path that loads from the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from qingtiao.data.sources import available_splits, load_split, parse_source
from qingtiao.errors import DataError, EnvironmentLack


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parquet files with ClassLabel labels, as data sets on the Hub hold them."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["差", "好"])})
    for split, labels in (("train", [0, 1, 1]), ("validation", [1]), ("test", [0, -1])):
        rows = {"text": [f"{split}{n}" for n in range(len(labels))], "label": labels}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / f"{split}.parquet")
    return tmp_path / "set"


def test_a_data_set_keeps_its_splits_and_label_names(folder: Path) -> None:
    source = f"hf:{folder}"
    assert available_splits(source) == ("train", "dev", "test")
    assert [record.fields["label"] for record in load_split(source, split="train")] == ["差", "好", "好"]
    assert [record.fields["text"] for record in load_split(source, split="dev")] == ["validation0"]
    assert list(load_split(source, split="validation")) == list(load_split(source, split="dev"))
    assert [record.fields["label"] for record in load_split(source, split="test")] == ["差", None]
    assert [record.place.row for record in load_split(source, split="train")] == [1, 2, 3]


def test_a_split_that_is_not_there_lists_what_is(folder: Path) -> None:
    (folder / "test.parquet").unlink()
    with pytest.raises(DataError) as caught:
        list(load_split(f"hf:{folder}", split="test"))
    assert "train, dev" in caught.value.todo_en


def test_a_folder_with_nothing_but_a_script_is_our_error(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "scripted").mkdir()
    (tmp_path / "scripted" / "scripted.py").write_text("raise SystemExit")
    with pytest.raises(DataError):
        list(load_split(f"hf:{tmp_path / 'scripted'}", split="train"))


def test_offline_is_an_environment_that_lacks_the_network() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(EnvironmentLack) as caught:  # HF_HUB_OFFLINE is set for all tests
        list(load_split("hf:qingtiao-tests/nothing", split="train"))
    assert "qingtiao-tests/nothing" in caught.value.en


def test_the_embedded_reviews_have_three_splits() -> None:
    assert available_splits("embedded:reviews") == ("train", "dev", "test")
    sizes = {}
    for split in ("train", "dev", "test"):
        records = list(load_split("embedded:reviews", split=split))
        sizes[split] = len(records)
        assert set(records[0].fields) == {"text", "label", "domain", "phenomenon"}
        assert records[0].place.source == "embedded:reviews"
    assert sizes["train"] > sizes["test"] > 50
    with pytest.raises(DataError, match="reviews？"):
        available_splits("embedded:review")


def test_a_file_is_its_own_only_split(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n好,1\n", encoding="utf-8")
    assert available_splits(str(path)) == ("train",)
    assert [record.fields["text"] for record in load_split(str(path), split="dev")] == ["好"]


@pytest.mark.parametrize("source", ["s3:bucket/a.csv", "modelscope:a/b", "http://a.cn/b.csv"])
def test_an_unknown_prefix_lists_the_known_ones(source: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_source(source)
    assert "embedded:reviews" in caught.value.todo_en
    assert "hf:owner/name" in caught.value.todo_en


@pytest.mark.parametrize("source", ["C:\\data\\a.csv", "D:/a.csv", "a.csv", "./数据.csv", "/a/b.csv"])
def test_a_drive_letter_is_no_prefix(source: str) -> None:
    assert parse_source(source) == ("file", source)
