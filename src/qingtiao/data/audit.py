"""What is wrong with the rows, and what it does to a result. Nothing is changed here; see `data.clean`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import ftfy

from qingtiao.data.duplicates import near_duplicate_groups, near_matches
from qingtiao.types import Dataset, Place, Row

Severity = Literal["info", "warning", "error"]

_SHOWN = 20
# Leftovers of a wrong decoding that nothing can undo.
_LOST = re.compile("\ufffd|锟斤拷|烫烫烫|屯屯屯|锘縣")
# A class this many times as frequent as another drowns it in an unweighted loss.
_IMBALANCE = 5.0
_FEW = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trouble: `count` of `total` rows, the first places, and in words what, so what, and what to do."""

    code: str
    severity: Severity
    count: int
    total: int
    places: tuple[str, ...]
    what: Mapping[str, str]
    effect: Mapping[str, str]
    fix: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "count": self.count,
            "total": self.total,
            "places": list(self.places),
            "what": dict(self.what),
            "effect": dict(self.effect),
            "fix": dict(self.fix),
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Counts by name, and the findings that they amount to."""

    rows: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    exact_duplicates: Mapping[str, int]
    near_duplicates: Mapping[str, int]
    leaks: Mapping[str, int]
    near_leaks: Mapping[str, int]
    label_conflicts: int
    empty: int
    damaged: int
    lengths: Mapping[str, float]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": dict(self.rows),
            "labels": {name: dict(counts) for name, counts in self.labels.items()},
            "exact_duplicates": dict(self.exact_duplicates),
            "near_duplicates": dict(self.near_duplicates),
            "leaks": dict(self.leaks),
            "near_leaks": dict(self.near_leaks),
            "label_conflicts": self.label_conflicts,
            "empty": self.empty,
            "damaged": self.damaged,
            "lengths": dict(self.lengths),
            "findings": [finding.as_json() for finding in self.findings],
        }


def audit(dataset: Dataset, *, max_length: int | None, threshold: float) -> AuditReport:
    """Examine the rows as they stand.

    Args:
        max_length: the model's limit; texts are measured in characters, which for Chinese is about tokens.
        threshold: 5-gram Jaccard from which two texts are near-duplicates. Near counts include the exact ones.
    """
    splits = dataset.splits()
    everything = [row for rows in splits.values() for row in rows]
    copies = {name: exact_copies(rows) for name, rows in splits.items()}
    near = {name: _near_copies(rows, threshold) for name, rows in splits.items()}
    exact_leaks, near_leaks = _leaks(splits, threshold)
    conflicts = conflicting(splits["train"]) if "train" in splits else []
    empty = [row for row in everything if not row.text.strip()]
    broken = [row for row in everything if is_damaged(row.text)]
    findings = [
        *_damage(empty, broken, total=len(everything)),
        *(_duplicates(name, copies[name], total=len(rows)) for name, rows in splits.items() if copies[name]),
        *(
            _leak(pair, exact_leaks[pair], rows, total=len(splits[pair.split("_in_")[0]]))
            for pair, rows in near_leaks.items()
            if rows
        ),
        *_conflicts(conflicts, total=len(dataset.train)),
        *_classes(splits),
        *_lengths(everything, max_length),
    ]
    return AuditReport(
        rows={name: len(rows) for name, rows in splits.items()},
        labels={name: dict(Counter(str(row.target) for row in rows).most_common()) for name, rows in splits.items()},
        exact_duplicates={name: len(rows) for name, rows in copies.items()},
        near_duplicates={name: len(rows) for name, rows in near.items()},
        leaks={pair: len(rows) for pair, rows in exact_leaks.items()},
        near_leaks={pair: len(rows) for pair, rows in near_leaks.items()},
        label_conflicts=len({row.text.strip() for row in conflicts}),
        empty=len(empty),
        damaged=len(broken),
        lengths=_length_facts(everything, max_length),
        findings=tuple(findings) or (_all_well(len(everything)),),
    )


def exact_copies(rows: Sequence[Row]) -> list[Row]:
    """Rows whose text, spaces around it aside, stands in an earlier row."""
    seen: set[str] = set()
    copies = []
    for row in rows:
        key = row.text.strip()
        if key in seen:
            copies.append(row)
        seen.add(key)
    return copies


def conflicting(rows: Iterable[Row]) -> list[Row]:
    """Rows whose text bears another label elsewhere among `rows`."""
    by_text: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_text[row.text.strip()].append(row)
    return [row for same in by_text.values() if len({str(row.target) for row in same}) > 1 for row in same]


def is_damaged(text: str) -> bool:
    """Mojibake that ftfy can undo (`å¤ªå¥½` is 太好), or the marks of one that nobody can."""
    return bool(_LOST.search(text)) or repaired(text) != text


def repaired(text: str) -> str:
    """`text` with its encoding mended by ftfy; unchanged where nothing is wrong with it."""
    if text.isascii() or not ftfy.badness.is_bad(text):
        return text
    return str(ftfy.fix_encoding(text))


def _near_copies(rows: Sequence[Row], threshold: float) -> list[Row]:
    groups = near_duplicate_groups([row.text for row in rows], threshold=threshold)
    return [row for index, row in enumerate(rows) if groups[index] != index]


def _leaks(splits: Mapping[str, Sequence[Row]], threshold: float) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    exact, near = {}, {}
    for earlier, later in combinations(splits, 2):
        known = {row.text.strip() for row in splits[earlier]}
        pair = f"{later}_in_{earlier}"
        exact[pair] = [row for row in splits[later] if row.text.strip() in known]
        matches = near_matches(
            [row.text for row in splits[later]], [row.text for row in splits[earlier]], threshold=threshold
        )
        near[pair] = [row for row, match in zip(splits[later], matches, strict=True) if match is not None]
    return exact, near


def _finding(
    code: str,
    severity: Severity,
    rows: Sequence[Row],
    *,
    total: int,
    what: tuple[str, str],
    effect: tuple[str, str],
    fix: tuple[str, str],
) -> Finding:
    return Finding(
        code=code,
        severity=severity,
        count=len(rows),
        total=total,
        places=_shown([row.place for row in rows]),
        what={"zh": what[0], "en": what[1]},
        effect={"zh": effect[0], "en": effect[1]},
        fix={"zh": fix[0], "en": fix[1]},
    )


_FIX = (
    "加 --fix 目录 写出清洗后的文件，或者训练时加 --clean",
    "Add --fix FOLDER to write cleaned files, or train with --clean",
)


def _damage(empty: Sequence[Row], broken: Sequence[Row], *, total: int) -> list[Finding]:
    findings = []
    if empty:
        findings.append(
            _finding(
                "empty",
                "warning",
                empty,
                total=total,
                what=(f"{len(empty)} 行没有文本", f"{len(empty)} rows hold no text"),
                effect=("模型只会学到空文本对应哪个标签", "The model learns nothing from them but a label for silence"),
                fix=_FIX,
            )
        )
    if broken:
        example = broken[0].text[:20]
        findings.append(
            _finding(
                "damaged",
                "error",
                broken,
                total=total,
                what=(
                    f"{len(broken)} 行是乱码，例如 {broken[0].place} 的 {example!r}",
                    f"{len(broken)} rows are garbled, for example {example!r} at {broken[0].place}",
                ),
                effect=(
                    "这些行等于噪声，准确率会被低估",
                    "They are noise, and make the accuracy look worse than it is",
                ),
                fix=(
                    "加 --fix 目录：能还原的用 ftfy 还原，不能的删掉",
                    "Add --fix FOLDER: what can be undone is, the rest is dropped",
                ),
            )
        )
    return findings


def _duplicates(name: str, copies: Sequence[Row], *, total: int) -> Finding:
    return _finding(
        f"exact_duplicates.{name}",
        "warning" if name == "train" else "info",
        copies,
        total=total,
        what=(
            f"{name} 里有 {len(copies)} 行（{len(copies) / total:.1%}）与前面的行文本相同",
            f"{len(copies)} rows of {name} ({len(copies) / total:.1%}) repeat an earlier text",
        ),
        effect=("重复的文本权重更大，训练也更慢", "Repeated texts weigh more and cost time"),
        fix=_FIX,
    )


def _leak(pair: str, exact: Sequence[Row], near: Sequence[Row], *, total: int) -> Finding:
    later, earlier = pair.split("_in_")
    share = f"{len(near) / total:.1%}"
    return _finding(
        f"leaks.{pair}",
        "error" if later == "test" else "warning",
        near,
        total=total,
        what=(
            f"{later} 有 {len(exact)} 行原样出现在 {earlier} 里，连同近似重复共 {len(near)} 行（{share}）",
            f"{len(exact)} rows of {later} stand in {earlier} as they are, {len(near)} with near-duplicates ({share})",
        ),
        effect=(
            "这些行考的是记忆，分数会虚高；报告会另给干净行上的分数",
            "They test memory, so the score is too high; the report gives the clean score beside it",
        ),
        fix=_FIX,
    )


def _conflicts(rows: Sequence[Row], *, total: int) -> list[Finding]:
    if not rows:
        return []
    texts = len({row.text.strip() for row in rows})
    return [
        _finding(
            "label_conflicts",
            "warning",
            rows,
            total=total,
            what=(f"{texts} 条相同的文本在 train 里有不同的标签", f"{texts} texts bear different labels in train"),
            effect=("模型无法两边都对，至少错一半", "No model can satisfy both labels"),
            fix=(
                "加 --fix 目录 去掉它们，逐行记录在 touched.jsonl，可以人工判断",
                "Add --fix FOLDER to drop them; touched.jsonl lists each",
            ),
        )
    ]


def _classes(splits: Mapping[str, Sequence[Row]]) -> list[Finding]:
    train = splits.get("train", ())
    counts = Counter(str(row.target) for row in train)
    findings = []
    rare = [row for row in train if counts[str(row.target)] < _FEW]
    if rare:
        names = "、".join(sorted({str(row.target) for row in rare}))
        findings.append(
            _finding(
                "rare_class",
                "error",
                rare,
                total=len(train),
                what=(f"这些标签在 train 里只有一行：{names}", f"These labels have one row only in train: {names}"),
                effect=("学不会，也无法划分出验证集", "They cannot be learnt, nor split"),
                fix=("补数据，或者把它们并到别的标签", "Add rows, or merge them into other labels"),
            )
        )
    if len(counts) > 1 and max(counts.values()) >= _IMBALANCE * min(counts.values()):
        (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
        findings.append(
            _finding(
                "imbalance",
                "warning",
                [row for row in train if str(row.target) == least],
                total=len(train),
                what=(
                    f"标签不均衡：{most} {many} 行，{least} {few} 行",
                    f"Unbalanced: {most} has {many} rows, {least} {few}",
                ),
                effect=(
                    "准确率会好看，少数类却可能全错；请看 macro-F1",
                    "Accuracy looks well while rare classes fail; read macro-F1",
                ),
                fix=(
                    "给少数类补数据；默认就按 macro-F1 选模型",
                    "Add rows of the rare classes; models are picked by macro-F1 anyway",
                ),
            )
        )
    for name, rows in splits.items():
        present = {str(row.target) for row in rows}
        missing, unseen = set(counts) - present, present - set(counts)
        if name != "train" and (missing or unseen):
            names = "、".join(sorted(missing or unseen))
            zh = f"{name} 里没有标签 {names}" if missing else f"{name} 里有 train 没有的标签 {names}"
            en = f"{name} lacks the labels {names}" if missing else f"{name} bears labels that train lacks: {names}"
            findings.append(
                _finding(
                    f"classes.{name}",
                    "error" if unseen else "warning",
                    [row for row in rows if str(row.target) in unseen],
                    total=len(rows),
                    what=(zh, en),
                    effect=("这些类的分数没有意义", "Scores of these classes mean nothing"),
                    fix=(
                        "不给 --dev/--test，让轻调分层划分",
                        "Leave out --dev/--test and let the rows be split by class",
                    ),
                )
            )
    return findings


def _lengths(rows: Sequence[Row], max_length: int | None) -> list[Finding]:
    if max_length is None:
        return []
    long = [row for row in rows if len(row.text) + 2 > max_length]
    if not long:
        return []
    return [
        _finding(
            "too_long",
            "info" if len(long) < 0.1 * len(rows) else "warning",
            long,
            total=len(rows),
            what=(
                f"{len(long)} 行（{len(long) / len(rows):.1%}）长于模型的 {max_length} 个词元，会被截断",
                f"{len(long)} rows ({len(long) / len(rows):.1%}) are longer than {max_length} tokens and will be cut",
            ),
            effect=("结尾的内容模型看不到", "The model does not see how they end"),
            fix=(
                f"加 --set base.max_length={2 * max_length}，训练会变慢",
                f"Add --set base.max_length={2 * max_length}; slower",
            ),
        )
    ]


def _length_facts(rows: Sequence[Row], max_length: int | None) -> dict[str, float]:
    lengths = sorted(len(row.text) for row in rows)
    if not lengths:
        return {}
    facts: dict[str, float] = {
        "median": lengths[len(lengths) // 2],
        "p90": lengths[int(0.9 * (len(lengths) - 1))],
        "max": lengths[-1],
    }
    if max_length is not None:
        facts["share_over_limit"] = sum(length + 2 > max_length for length in lengths) / len(lengths)
    return facts


def _all_well(total: int) -> Finding:
    return _finding(
        "all_well",
        "info",
        [],
        total=total,
        what=(f"{total} 行，没有发现问题", f"{total} rows, nothing found"),
        effect=("", ""),
        fix=("", ""),
    )


def _shown(places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(str(place) for place in places[:_SHOWN])
