"""How much a written text overlaps with its references: ROUGE, BLEU and chrF as functions of sums over rows.

Case and width are set aside on both sides (NFKC, lower case): many Chinese tokenizers fold them and cannot give them
back. Of several references ROUGE and chrF take the one that fits best, BLEU clips n-grams by all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from qingtiao.evaluate.measures import Measure, mean_of
from qingtiao.evaluate.metrics import Floats, ratio

Words = Literal["zh", "13a"]  # sacrebleu's names of how BLEU cuts text into words

# Scripts written without spaces: ROUGE takes each character as a word there.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNITS = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}_]+")
_ORDERS_BLEU = 4
_ORDERS_CHRF = 6
_BETA_SQUARED = 4.0  # recall weighs twice as much as precision


def plain(text: str) -> str:
    """The text as all measures read it."""
    return unicodedata.normalize("NFKC", text).lower()


def units(text: str) -> list[str]:
    """What ROUGE counts: Chinese and Japanese characters one by one, other words and numbers whole, no marks."""
    return _UNITS.findall(plain(text))


def words_of(texts: Sequence[str]) -> Words:
    """How BLEU is to cut texts like these: by characters where most of what they hold is Chinese."""
    found = Counter(len(unit) == 1 and unit > "\u3040" for text in texts for unit in units(text))
    return "zh" if found[True] > found[False] else "13a"


def rouge_rows(answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Floats]:
    """F1 of unigrams, bigrams and the longest common subsequence by row, each with a 1 to count it: shape (rows, 2).

    Source: Lin, ROUGE, 2004, over `units`, with equal weight of precision and recall.
    """
    rows = [
        [_rouge(units(answer), units(one)) for one in several]
        for answer, several in zip(answers, references, strict=True)
    ]
    best = np.array([np.max(several, axis=0) for several in rows]).reshape(-1, 3)
    ones = np.ones(len(best))
    return {name: np.column_stack([best[:, i], ones]) for i, name in enumerate(("rouge_1", "rouge_2", "rouge_l"))}


def _rouge(answer: list[str], reference: list[str]) -> tuple[float, float, float]:
    if not answer or not reference:
        same = float(answer == reference)
        return same, same, same
    uni = _shared(answer, reference) / (len(answer) + len(reference))
    pairs, wanted = list(pairwise(answer)), list(pairwise(reference))
    # Texts of one unit have no pairs: then that unit decides.
    bi = _shared(pairs, wanted) / (len(pairs) + len(wanted)) if pairs or wanted else uni
    longest = _common_subsequence(answer, reference) / (len(answer) + len(reference))
    return 2 * uni, 2 * bi, 2 * longest


def _shared(left: Sequence[Any], right: Sequence[Any]) -> int:
    return sum((Counter(left) & Counter(right)).values())


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Its length. A row of the table is one integer, a bit a unit of `left` (Crochemore et al. 2001)."""
    where: dict[str, int] = {}
    for index, unit in enumerate(left):
        where[unit] = where.get(unit, 0) | 1 << index
    everything = (1 << len(left)) - 1
    row = everything
    for unit in right:
        met = row & where.get(unit, 0)
        row = (row + met | row - met) & everything
    return len(left) - row.bit_count()


def bleu_rows(answers: Sequence[str], references: Sequence[Sequence[str]], *, words: Words) -> Floats:
    """What BLEU is computed from, by row: lengths of answer and reference, matches and totals of 1- to 4-grams.

    Shape (rows, 10). Source: Papineni et al. 2002; words, clipping and lengths are sacrebleu's.
    """
    metric = _sacrebleu(words)
    found = []
    for answer, several in zip(answers, references, strict=True):
        score = metric.sentence_score(plain(answer), [plain(one) for one in several])
        found.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(found, dtype=np.float64).reshape(-1, 2 + 2 * _ORDERS_BLEU)


@cache
def _sacrebleu(words: Words) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    # Only counts are taken from it, so how it smooths is of no matter: `effective_order` and `force` silence its advice
    # on single sentences, and on texts that were tokenised beforehand, which ours never are.
    return BLEU(tokenize=words, force=True, effective_order=True)


def bleu_of(sums: Floats) -> Floats:
    """Corpus BLEU of sums of `bleu_rows`, with sacrebleu's default smoothing (NIST: 1/2, 1/4 … of a match for none)."""
    answer, reference = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + _ORDERS_BLEU], sums[..., 2 + _ORDERS_BLEU :]
    none = (matches == 0) & (totals > 0)
    counted = np.where(none, 0.5 ** np.cumsum(none, axis=-1), matches)
    precisions = np.nan_to_num(ratio(counted, totals))
    with np.errstate(divide="ignore"):
        mean = np.exp(np.log(precisions).mean(axis=-1))
    brevity = np.where(answer < reference, np.exp(1 - ratio(reference, np.maximum(answer, 1e-9))), 1.0)
    return np.where(matches.sum(axis=-1) > 0, brevity * mean, 0.0)


def chrf_rows(answers: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """Counts of character 1- to 6-grams by row: in the answer, in the reference, in both. Shape (rows, 18).

    Source: Popović, chrF, 2015; whitespace is left out and the best reference taken as sacrebleu does.
    """
    rows = []
    for answer, several in zip(answers, references, strict=True):
        grams = _grams(answer)
        candidates = np.array([_matches(grams, _grams(one)) for one in several], dtype=np.float64)
        rows.append(candidates[int(np.argmax(chrf_of(candidates)))])
    return np.array(rows).reshape(-1, 3 * _ORDERS_CHRF)


def _grams(text: str) -> list[Counter[str]]:
    line = "".join(plain(text).split())
    return [
        Counter(line[start : start + order] for start in range(len(line) - order + 1))
        for order in range(1, _ORDERS_CHRF + 1)
    ]


def _matches(answer: Sequence[Counter[str]], reference: Sequence[Counter[str]]) -> list[int]:
    columns = []
    for mine, theirs in zip(answer, reference, strict=True):
        # An order that the reference is too short for counts against nobody.
        columns += [mine.total() if theirs else 0, theirs.total(), (mine & theirs).total()]
    return columns


def chrf_of(sums: Floats) -> Floats:
    """Corpus chrF of sums of `chrf_rows`: F2 of precision and recall, each a mean over the orders that both have."""
    answer, reference, both = (sums[..., start::3] for start in range(3))
    usable = (answer > 0) & (reference > 0)
    orders = np.maximum(usable.sum(axis=-1), 1)
    precision = np.where(usable, np.nan_to_num(ratio(both, answer)), 0).sum(axis=-1) / orders
    recall = np.where(usable, np.nan_to_num(ratio(both, reference)), 0).sum(axis=-1) / orders
    return np.nan_to_num(ratio((1 + _BETA_SQUARED) * precision * recall, _BETA_SQUARED * precision + recall))


def overlap_rows(answers: Sequence[str], references: Sequence[Sequence[str]], *, words: Words) -> dict[str, Floats]:
    """For each of `OVERLAP` by name, the numbers it sums over; `references` holds at least one a row."""
    return {
        **rouge_rows(answers, references),
        "bleu": bleu_rows(answers, references, words=words),
        "chrf": chrf_rows(answers, references),
    }


OVERLAP = (
    Measure("rouge_l", "字级 ROUGE-L", "character ROUGE-L", mean_of(0, 1)),
    Measure("rouge_1", "字级 ROUGE-1", "character ROUGE-1", mean_of(0, 1)),
    Measure("rouge_2", "字级 ROUGE-2", "character ROUGE-2", mean_of(0, 1)),
    Measure("bleu", "BLEU", "BLEU", bleu_of),
    Measure("chrf", "chrF", "chrF", chrf_of),
)
