"""The report of measures: its outline is that of a classifier's, its verdict follows the rows, its page holds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qingtiao.answers import Span
from qingtiao.errors import DataError
from qingtiao.evaluate.elements import shown_spans
from qingtiao.evaluate.html import render_html
from qingtiao.evaluate.measured import Judged, MeasuredReport, build_measured_report
from qingtiao.evaluate.measured_verdict import decide_measured
from qingtiao.evaluate.measures import Measure, mean_of
from qingtiao.evaluate.report import About

MEASURES = (
    Measure("overlap", "重合", "overlap", mean_of(0, 1)),
    Measure("error", "误差", "error", mean_of(0, 1), higher_is_better=False, share=False),
)
HOSTILE = "<script>alert(1)</script>"


def sums(level: float, n: int, seed: int) -> dict[str, np.ndarray]:
    values = np.clip(np.random.default_rng(seed).normal(level, 0.2, n), 0, 1)
    rows = np.stack([values, np.ones(n)], axis=1)
    return {"overlap": rows, "error": np.stack([1 - values, np.ones(n)], axis=1)}


def build(*, n: int = 300, adapter: float = 0.7, baseline: float = 0.5, clean: float = 0.7) -> MeasuredReport:
    judged = Judged(
        texts=[HOSTILE] * n,
        gold=[f"标准 {row}" for row in range(n)],
        predicted=["模型"] * n,
        clean=np.random.default_rng(n).random(n) < clean,
        places=[f"test.jsonl:{row}" for row in range(n)],
    )
    return build_measured_report(
        judged,
        MEASURES,
        sums(adapter, n, 1),
        baselines={"lead": sums(baseline, n, 2), "nothing": sums(0.1, n, 3)},
        about=About(base={"name": "b"}, dev=[{"epoch": 1, "overlap": 0.4, "loss": 2.0}]),
        seed=0,
    )


def test_the_outline_is_that_of_a_classifiers_report() -> None:
    written = json.loads(json.dumps(build().as_json(), allow_nan=False))
    assert list(written["test"]) == ["n", "overlap", "overlap_ci", "error", "error_ci"]
    assert written["clean_test"]["n"] == written["verdict"]["n"] < written["test"]["n"] == 300
    assert set(written["baselines"]) == {"lead", "nothing"}
    assert written["measures"]["error"]["higher_is_better"] is False
    assert len(written["worst_answers"]) == 50
    scores = [one["score"] for one in written["worst_answers"]]
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("adapter", "baseline", "code"),
    [(0.7, 0.5, "adapter_better"), (0.5, 0.5, "tie"), (0.4, 0.6, "baseline_better")],
)
def test_the_verdict_follows_the_rows(adapter: float, baseline: float, code: str) -> None:
    verdict = build(adapter=adapter, baseline=baseline).verdict
    assert (verdict.code, verdict.against, verdict.on) == (code, "lead", "clean_test")
    assert verdict.difference_ci.low <= verdict.difference <= verdict.difference_ci.high
    assert str(verdict.n) in verdict.zh and str(verdict.n) in verdict.en
    assert "首句基线" in verdict.zh and " 首句基线" not in verdict.zh


@pytest.mark.parametrize(
    ("retrieved", "code", "against", "by", "also"),
    [
        (0.9, "baseline_better", "retrieval", "error", "和没训练过的基座比胜出"),
        (0.7, "tie", "retrieval", "error", "和没训练过的基座比胜出"),
        (0.2, "adapter_better", "base", "overlap", "和照搬最像的问题的回答比胜出"),
    ],
)
def test_a_baseline_without_the_first_measure_counts_by_the_one_it_has(
    retrieved: float, code: str, against: str, by: str, also: str
) -> None:
    """Of a retrieved answer there is no likelihood; it may be the better answer all the same."""
    others = {"base": sums(0.4, 300, 2), "retrieval": {"error": sums(retrieved, 300, 3)["error"]}}
    verdict = decide_measured(MEASURES, sums(0.7, 300, 1), others, on="clean_test", seed=0)
    assert (verdict.code, verdict.against, verdict.metric) == (code, against, by)
    assert also in verdict.zh and "Besides, it is ahead of" in verdict.en


def test_without_clean_rows_it_is_said() -> None:
    report = build(clean=0.0)
    assert report.scores.clean_test is None and report.clean_test_reason is not None
    assert report.verdict.on == "test" and "没有干净的测试行" in report.verdict.zh


def test_no_rows_cannot_be_judged() -> None:
    with pytest.raises(DataError):
        build(n=0)


def test_the_page_shows_it_all_and_runs_nothing() -> None:
    page = render_html(build())
    assert HOSTILE not in page and "&lt;script&gt;" in page
    for words in ("重合", "误差", "标准 1", "适配器更好", "首句", "nothing"):
        assert words in page


def test_marks_stand_out_in_their_text_and_long_stretches_are_left_out() -> None:
    text = "甲" * 100 + "<b>" + "乙" * 100
    page = shown_spans(text, [Span(100, 103, "A&B", "<b>")])
    assert page == f"<bdi>…{'甲' * 40}<mark>&lt;b&gt;<small>A&amp;B</small></mark>{'乙' * 40}…</bdi>"
    assert shown_spans("没有", []) == "<bdi>没有</bdi>"
    both = shown_spans("北京南京", [Span(0, 2, "地", "北京"), Span(2, 4, "地", "南京")])
    assert both.count("<mark>") == 2 and "…" not in both


def test_marks_of_the_worst_are_shown_in_their_text() -> None:
    spans = ((Span(0, 2, "地名", "北京"),), (Span(2, 4, "人名", "来人"),))
    judged = Judged(["北京来人了"], ["北京/地名"], ["来人/人名"], np.array([True]), ["t.jsonl:1"], [spans])
    report = build_measured_report(
        judged,
        MEASURES,
        {name: np.array([[0.0, 1.0]]) for name in ("overlap", "error")},
        baselines={"lead": sums(0.5, 1, 2)},
        about=About(),
        seed=0,
    )
    page = render_html(report)
    assert "<mark>北京<small>地名</small></mark>来人了" in page
    assert "北京<mark>来人<small>人名</small></mark>了" in page
    written = json.loads(json.dumps(report.as_json(), allow_nan=False))["worst_answers"][0]
    assert written["gold_spans"] == [{"start": 0, "end": 2, "label": "地名", "text": "北京"}]
