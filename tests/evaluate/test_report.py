"""What the report says, and that what it writes is strict JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qingtiao.errors import DataError
from qingtiao.evaluate.report import About, Report, TestRows, build_report, evaluate_block, strict_json
from qingtiao.evaluate.verdict import decide
from qingtiao.types import Place

Maker = Callable[..., Report]


def as_written(report: Report) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(report.as_json(), allow_nan=False, ensure_ascii=False))
    return loaded


def test_a_block_holds_the_promised_fields_and_its_intervals_hold_its_scores(make: Maker) -> None:
    block = as_written(make())["test"]
    assert list(block) == ["n", "accuracy", "accuracy_ci", "macro_f1", "macro_f1_ci", "nll", "ece"]
    for name in ("accuracy", "macro_f1"):
        low, high = block[f"{name}_ci"]
        assert 0 < low < block[name] < high < 1


def test_the_report_holds_the_promised_sections(make: Maker) -> None:
    about = About(base={"name": "mini-zh"}, trainable_share=0.01, seconds=3.5, dev=[{"epoch": 1, "accuracy": 0.9}])
    written = as_written(make(about=about))
    assert set(written) == {
        *("verdict", "test", "clean_test", "clean_test_reason", "baselines", "per_class", "confusion_matrix"),
        *("calibration", "by_length", "worst_errors", "audit", "trainable_share", "seconds", "base", "adapter"),
        *("config", "dev", "versions"),
    }
    assert list(written["baselines"]) == ["tfidf", "majority"]
    for baseline in written["baselines"].values():
        assert set(baseline["clean_test"]) == set(written["test"])
    assert (written["base"], written["seconds"]) == ({"name": "mini-zh"}, 3.5)


def test_the_sections_add_up(make: Maker) -> None:
    report = make(n=300, labels=["甲", "乙", "丙"])
    assert np.sum(report.confusion_matrix.counts) == 300
    assert np.trace(np.array(report.confusion_matrix.counts)) == round(report.test.accuracy * 300)
    assert sum(one.support for one in report.per_class) == 300
    assert sum(part.n for part in report.by_length) == 300
    assert sum(group.n for group in report.calibration.bins) == 300
    assert report.clean_test is not None
    assert report.clean_test.n == report.verdict.n < 300


@pytest.mark.parametrize(
    ("adapter", "tfidf", "code"),
    [(0.97, 0.8, "adapter_better"), (0.9, 0.9, "tie"), (0.7, 0.95, "baseline_better")],
)
def test_the_verdict_follows_the_rows(make: Maker, adapter: float, tfidf: float, code: str) -> None:
    verdict = make(adapter=adapter, tfidf=tfidf).verdict
    assert verdict.code == code
    assert (verdict.p < 0.05) == (code != "tie")
    assert verdict.difference == pytest.approx((verdict.adapter_only - verdict.baseline_only) / verdict.n)
    assert verdict.difference_ci.low <= verdict.difference <= verdict.difference_ci.high
    assert str(verdict.n) in verdict.zh
    assert str(verdict.n) in verdict.en


def test_the_verdict_is_against_the_better_baseline() -> None:
    gold = np.array([0] * 95 + [1] * 5)
    tfidf, majority = np.array([0, 1] * 50), np.zeros(100, dtype=np.int64)
    verdict = decide(gold, gold, {"tfidf": tfidf, "majority": majority}, classes=2, on="clean_test")
    assert verdict.against == "majority"


def test_few_rows_are_said_to_be_few(make: Maker) -> None:
    assert "只有" in make(n=30, clean=1).verdict.zh
    assert "only 30 rows" in make(n=30, clean=1).verdict.en
    assert "只有" not in make(n=600, clean=1).verdict.zh


def test_no_clean_rows_gives_null_a_reason_and_a_warned_verdict(make: Maker) -> None:
    report = make(clean=0)
    written = as_written(report)
    assert written["clean_test"] is None
    assert written["baselines"]["tfidf"]["clean_test"] is None
    assert set(written["clean_test_reason"]) == {"zh", "en"}
    assert report.verdict.on == "test"
    assert "没有干净" in report.verdict.zh
    assert as_written(make())["clean_test_reason"] is None


def test_worst_errors_are_the_most_confident_ones_first(make: Maker) -> None:
    errors = make(n=1000, adapter=0.8).worst_errors
    assert len(errors) == 50
    confidences = [error.confidence for error in errors]
    assert confidences == sorted(confidences, reverse=True)
    assert all(error.gold != error.predicted for error in errors)
    assert errors[0].place.startswith("test.csv:")


def test_length_slices_meet_without_overlap() -> None:
    lengths = [0, 10, 11, 20, 21, 500, 501, 9000]
    rows = TestRows(
        texts=["字" * length for length in lengths],
        gold=np.zeros(8, dtype=np.int64),
        clean=np.ones(8, dtype=np.bool_),
        places=["here"] * 8,
    )
    chances = np.tile([0.9, 0.1], (8, 1))
    report = build_report(rows, chances, labels=["甲", "乙"], baselines={"majority": chances})
    assert [(part.low, part.high, part.n) for part in report.by_length] == [
        *((0, 10, 2), (11, 20, 2), (21, 50, 1), (201, 500, 1), (501, None, 2)),
    ]


@pytest.mark.parametrize("labels", [("甲", "乙"), tuple(f"类{index}" for index in range(100))])
def test_one_row_and_unseen_classes_write_strict_json(make: Maker, labels: tuple[str, ...]) -> None:
    written = as_written(make(n=1, labels=labels, clean=1))
    assert written["test"]["n"] == 1
    assert [one["f1"] for one in written["per_class"]].count(None) >= len(labels) - 2


def test_strict_json_takes_what_callers_pass_through() -> None:
    values = {
        "nan": float("nan"),
        "array": np.array([1.0, np.inf]),
        "scalar": np.int64(3),
        "place": Place("a.csv", 2),
        "path": Path("runs/demo"),
        7: (True, None),
    }
    assert strict_json(values) == {
        **{"nan": None, "array": [1.0, None], "scalar": 3, "place": "a.csv:2", "path": str(Path("runs/demo"))},
        "7": [True, None],
    }


def test_no_test_rows_are_refused() -> None:
    with pytest.raises(DataError):
        evaluate_block(np.array([], dtype=np.int64), np.zeros((0, 2)))
