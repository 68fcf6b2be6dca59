"""The model of `qingtiao demo` on texts of other origins, beside TF-IDF taught the same rows and SnowNLP as shipped.

    python benchmarks/accuracy/transfer.py --data FOLDER [--bundle FOLDER]

The demo is trained on the embedded reviews alone. FOLDER (or the variable QINGTIAO_BENCHMARK_DATA) holds reviews, and
posts from Weibo whose emotions are reduced to their side: happy is positive, angry and sad are negative, and a post
with another emotion alone, with none or with both sides is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from corpora import CORPORA, TASK, add_data_option, lacks_data
from methods import snownlp_says_positive
from results import Bools

from qingtiao.config import DataConfig
from qingtiao.data.clean import clean_test
from qingtiao.data.normalise import Normaliser
from qingtiao.data.read import read_records
from qingtiao.data.split import sample
from qingtiao.evaluate.baseline import MajorityBaseline, TfidfBaseline, fit_tfidf
from qingtiao.evaluate.stats import wilson_interval
from qingtiao.types import Dataset, Row
from qingtiao.workflows.material import read_dataset

POSITIVE, NEGATIVE = "正面", "负面"  # as the embedded reviews name them
_POSITIVE_EMOTIONS = {"happy", "happiness"}
_NEGATIVE_EMOTIONS = {"angry", "anger", "sad", "sadness"}
# SnowNLP reads about 150 reviews a second.
_MOST_ROWS = 3000
_SEED = 42


def waimai(folder: Path) -> list[Row]:
    return _polar(_read("waimai", folder).train)


def chnsenticorp_clean_test(folder: Path) -> list[Row]:
    given = _read("chnsenticorp", folder)
    return _polar(clean_test(given, threshold=DataConfig(train="").near_duplicate))


def book_review_test(folder: Path) -> list[Row]:
    return _polar(_read("book_review", folder).test)


def smp2020_test(folder: Path) -> list[Row]:
    return _sided(folder / "smp2020_emotion" / "test.jsonl.gz", lambda fields: [fields["label"]])


def nlpcc2018_test(folder: Path) -> list[Row]:
    return _sided(folder / "nlpcc2018_multilabel" / "test.jsonl.gz", lambda fields: fields["labels"])


SETS: dict[str, Callable[[Path], list[Row]]] = {
    "waimai": waimai,
    "chnsenticorp, clean test": chnsenticorp_clean_test,
    "book_review, test": book_review_test,
    "smp2020_emotion, test (Weibo)": smp2020_test,
    "nlpcc2018_multilabel, test (Weibo)": nlpcc2018_test,
}


def _read(name: str, folder: Path) -> Dataset:
    data = DataConfig(**{split: str(folder / file) for split, file in CORPORA[name].files.items()})
    return read_dataset(data, task=TASK, task_options={})


def _polar(rows: Collection[Row]) -> list[Row]:
    """Rows labelled 1 and 0 with the names of the embedded labels."""
    return [Row(row.text, POSITIVE if row.target == "1" else NEGATIVE, row.place) for row in rows]


def _sided(path: Path, emotions: Callable[[Mapping[str, Any]], list[str]]) -> list[Row]:
    rows = []
    for record in read_records(path):
        side = side_of(emotions(record.fields))
        if side is not None:
            rows.append(Row(str(record.fields["text"]), side, record.place))
    return rows


def side_of(emotions: Collection[str]) -> str | None:
    """The side that alone is present, or None."""
    positive = not _POSITIVE_EMOTIONS.isdisjoint(emotions)
    negative = not _NEGATIVE_EMOTIONS.isdisjoint(emotions)
    if positive == negative:
        return None
    return POSITIVE if positive else NEGATIVE


def scored(positive: Bools, says_positive: Bools) -> str:
    """Accuracy with its interval, and the mean of the two classes' recalls, which does not move with their shares."""
    right = positive == says_positive
    low, high = wilson_interval(int(right.sum()), len(right))
    balanced = (right[positive].mean() + right[~positive].mean()) / 2
    return f"{100 * right.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}], {100 * balanced:.1f}"


def demo_bundle(out: Path) -> Path:
    """Train as the command does, and name the bundle."""
    from qingtiao.cli.demo import demo

    demo(out=str(out), as_json=False)
    return out / "bundle"


def tfidf_baseline(normaliser: Normaliser) -> TfidfBaseline | MajorityBaseline:
    """The baseline of the demo's report, taught the same rows; it reads normalised texts."""
    rows = read_dataset(DataConfig(train="embedded:reviews"), task=TASK, task_options={}).train
    positive = np.array([row.target == POSITIVE for row in rows], dtype=np.int64)
    return fit_tfidf([normaliser(row.text) for row in rows], positive, classes=2, seed=_SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"), help="where the demo is trained")
    parser.add_argument("--bundle", type=Path, help="a bundle of the demo that is there already")
    parser.add_argument("--rows", type=int, default=_MOST_ROWS, help="at most so many rows of a set, seeded")
    args = parser.parse_args()
    if lacks_data(args.data):
        return
    from qingtiao.bundle import load_bundle

    predictor = load_bundle(args.bundle or demo_bundle(args.out))
    tfidf = tfidf_baseline(predictor.normaliser)
    print("| 数据 data | n | 正面 positive | demo：准确率、平衡准确率 accuracy, balanced | TF-IDF | SnowNLP |")
    print("|---|---|---|---|---|---|")
    for name, load in SETS.items():
        rows = sample(load(Path(args.data)), args.rows, seed=_SEED)
        texts = [row.text for row in rows]
        positive = np.array([row.target == POSITIVE for row in rows], dtype=np.bool_)
        demo = np.array([answer.label == POSITIVE for answer in predictor.predict(texts)], dtype=np.bool_)
        probabilities = tfidf.predict_proba([predictor.normaliser(text) for text in texts])
        said = (demo, probabilities.argmax(axis=1) == 1, snownlp_says_positive(texts))
        cells = [scored(positive, says_positive) for says_positive in said]
        print(f"| {name} | {len(rows)} | {100 * positive.mean():.0f} % | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
