"""The data sets of the accuracy table: which rows are trained on, which are scored, and samples of the former."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from qingtiao.config import DataConfig, NormaliseConfig
from qingtiao.data.clean import clean, clean_test
from qingtiao.data.normalise import Normaliser
from qingtiao.data.split import sample, split
from qingtiao.types import Dataset, Row
from qingtiao.workflows.material import read_dataset

TASK = "text_classification"
SIZES = (100, 500, 1000)
Size = int | Literal["all"]

_SPLIT_SEED = 2024
_TEST_SHARE, _DEV_SHARE = 0.2, 0.1


@dataclass(frozen=True, slots=True)
class Corpus:
    """`files` by split; one that has no test file is divided here. `positive` is set where the labels are polarity."""

    files: Mapping[str, str]
    positive: str | None = None
    clean_test_only: bool = False


class Prepared(NamedTuple):
    """No row of `train` equals or nearly equals a row of `dev` or `test`. `dev` is for choosing settings only."""

    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    test: tuple[Row, ...]


def _three(folder: str, ending: str) -> dict[str, str]:
    return {name: f"{folder}/{name}.{ending}" for name in ("train", "dev", "test")}


# In the order of their sizes: the scheduler relies on it.
CORPORA = {
    # A third of its test rows are copies of train or dev rows; published scores count them.
    "chnsenticorp": Corpus(_three("chnsenticorp", "tsv"), positive="1", clean_test_only=True),
    "waimai": Corpus({"train": "waimai_10k.csv"}, positive="1"),
    "book_review": Corpus(_three("book_review", "jsonl.gz"), positive="1"),
    "smp2020_emotion": Corpus(_three("smp2020_emotion", "jsonl.gz")),
    "thucnews_titles": Corpus(_three("thucnews_titles", "jsonl.gz")),
}


@cache
def prepare(name: str, folder: Path) -> Prepared:
    """The rows of a data set, normalised; the training rows cleaned as `data.clean` cleans them, hence leak-free."""
    corpus = CORPORA[name]
    data = DataConfig(**{split: str(folder / file) for split, file in corpus.files.items()})
    given = _normalised(read_dataset(data, task=TASK, task_options={}))
    threshold = data.near_duplicate
    if not given.test:
        given = split(given.train, dev_share=_DEV_SHARE, test_share=_TEST_SHARE, seed=_SPLIT_SEED, threshold=threshold)
    cleaned, _ = clean(given, threshold=threshold)
    repaired = Dataset(train=given.train, dev=given.dev, test=cleaned.test)
    test = clean_test(repaired, threshold=threshold) if corpus.clean_test_only else cleaned.test
    return Prepared(cleaned.train, cleaned.dev, test)


def subset(rows: Sequence[Row], size: Size, *, seed: int) -> list[Row]:
    """`size` of the rows, labels in proportion; a smaller one of `SIZES` lies within a larger one of the same seed."""
    chosen = list(rows)
    if size == "all":
        return chosen
    for larger in sorted((s for s in SIZES if s > size), reverse=True):
        chosen = sample(chosen, larger, seed=seed)
    return sample(chosen, size, seed=seed)


def _normalised(dataset: Dataset) -> Dataset:
    normaliser = Normaliser(NormaliseConfig())
    return Dataset(
        **{name: tuple(row.with_text(normaliser(row.text)) for row in rows) for name, rows in dataset.splits().items()}
    )


def add_data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=os.environ.get("QINGTIAO_BENCHMARK_DATA"))


def lacks_data(folder: Path | None) -> bool:
    """Whether no folder was named, and says so: `make bench` runs every script, one without its data is no failure."""
    if folder is None:
        print("没有数据，跳过：用 --data 指出文件夹。| No data, skipped: name the folder with --data.")
    return folder is None
