"""Time, peak memory and recall of `near_duplicate_groups` on made-up rows of 50 characters.

    python benchmarks/near_duplicates.py --rows 1000000

One row in ten is a copy of another with a few characters changed; some copies stay near-duplicates (5-gram Jaccard of
the threshold or more), some do not. Recall is counted over those that do, by their true similarity.
"""

from __future__ import annotations

import argparse
import random
import resource
import time

from qingtiao.data.duplicates import folded, grams, jaccard, near_duplicate_groups

LENGTH = 50
ALPHABET = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]


def make_rows(count: int, *, seed: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Rows, and (original, copy) pairs of their indices. Characters fall off in frequency like 1/rank."""
    rng = random.Random(seed)
    weights = [1 / rank for rank in range(1, len(ALPHABET) + 1)]
    fresh = count - count // 10
    soup = "".join(rng.choices(ALPHABET, weights, k=fresh * LENGTH))
    rows = [soup[i * LENGTH : (i + 1) * LENGTH] for i in range(fresh)]
    pairs = []
    for _ in range(count - fresh):
        original = rng.randrange(fresh)
        text = list(rows[original])
        for _ in range(rng.randint(0, 4)):
            text[rng.randrange(LENGTH)] = rng.choice(ALPHABET)
        pairs.append((original, len(rows)))
        rows.append("".join(text))
    return rows, pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one-cluster", action="store_true", help="all rows nearly the same: the worst case")
    options = parser.parse_args()
    if options.one_cluster:
        rows, pairs = [f"{'这一家店的味道真的很不错我们下次还会再来的' * 2}{n}" for n in range(options.rows)], []
    else:
        rows, pairs = make_rows(options.rows, seed=options.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    groups = near_duplicate_groups(rows, threshold=options.threshold)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"rows {len(rows):,}  groups {len(set(groups)):,}  seconds {seconds:.1f}")
    print(f"peak memory {peak:.2f} GiB, of which {before:.2f} before the start (the rows themselves)")
    near = [(i, j) for i, j in pairs if jaccard(grams(folded(rows[i])), grams(folded(rows[j]))) >= options.threshold]
    if near:
        met = sum(groups[i] == groups[j] for i, j in near)
        print(f"recall {met / len(near):.4f} over {len(near):,} true pairs")


if __name__ == "__main__":
    main()
