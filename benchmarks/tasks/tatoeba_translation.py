"""English sentences and all their Chinese translations out of tatoeba, in splits that share no sentence.

    python benchmarks/tasks/tatoeba_translation.py tatoeba_en_zh.jsonl.gz FOLDER [--most 1000] [--seed 1]

writes FOLDER/{train,dev,test}.jsonl with the columns en (a sentence) and zh (a list: any of them is right). Sentences
that are linked by translations, however indirectly, are one group, and a group lies in one split whole. Rows are
shuffled; of dev and test rows `--most` are kept.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from tatoeba_pairs import Corpus, read, sides

from qingtiao.data.write import write_records


def rows_of(corpus: Corpus, split_of: dict[int, str], split: str) -> list[dict[str, object]]:
    return [
        {"en": english, "zh": chinese}
        for english, chinese in corpus.translations.items()
        if split_of[corpus.groups[chinese[0]]] == split
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="sentences and their translations out of tatoeba")
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    corpus = read(asked.source)
    split_of = sides(corpus.groups, seed=asked.seed)
    asked.folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        rows = rows_of(corpus, split_of, split)
        random.Random(asked.seed).shuffle(rows)
        rows = rows if split == "train" else rows[: asked.most]
        write_records(asked.folder / f"{split}.jsonl", rows, neutralise=False)
        print(f"{split}: {len(rows)} sentences, {sum(len(row['zh']) for row in rows)} translations")


if __name__ == "__main__":
    main()
