"""The page stands alone, parses, survives hostile and odd data, and shows what it should."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from qingtiao.evaluate.charts import escape, shorten
from qingtiao.evaluate.html import render_html
from qingtiao.evaluate.report import About, Report

Maker = Callable[..., Report]

VOID = {"meta", "br"}
HOSTILE = "<script>alert(1)</script>\"'&</td></svg><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Checks that elements nest, and keeps each one's name and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


DEV = [
    {"event": "evaluated", "step": 10, "epoch": 1.0, "metrics": {"accuracy": 0.8, "macro_f1": 0.79, "loss": 0.5}},
    {"event": "evaluated", "step": 20, "epoch": 2.0, "metrics": {"accuracy": 0.9, "macro_f1": 0.88, "loss": 0.3}},
]


def test_the_page_parses_and_needs_nothing_from_outside(make: Maker) -> None:
    text = render_html(make(about=About(dev=DEV, base={"name": "mini-zh"}, audit={"rows": 9})))
    page = Page(text)
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=|@import|url\(", text)
    assert not set(re.findall(r"https?://[^\"]+", text)) - {"http://www.w3.org/2000/svg"}


def test_the_verdict_stands_before_the_first_picture_in_both_languages(make: Maker) -> None:
    report = make()
    text = render_html(report)
    first = text.index("<svg")
    assert 0 < text.index(report.verdict.zh) < text.index(report.verdict.en) < first
    assert text.index("准确率对比") < text.index("混淆矩阵 Confusion matrix")


@pytest.mark.parametrize("count", [2, 20, 21])
def test_hostile_labels_and_texts_stay_text(make: Maker, count: int) -> None:
    labels = [f"{HOSTILE}{index}" for index in range(count)]
    about = About(
        base={"name": HOSTILE}, config={HOSTILE: [HOSTILE]}, audit={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
    )
    text = render_html(make(labels=labels, text=HOSTILE, adapter=0.7, about=about))
    page = Page(text)
    assert page.count("script") == page.count("img") == 0
    assert not [name for _, attributes in page.seen for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("count", [2, 5, 12, 20, 21, 100])
def test_every_picture_is_wellformed_and_named(make: Maker, count: int) -> None:
    labels = [f"😀{HOSTILE}" if index == 0 else f"很长很长的标签名字{index}" for index in range(count)]
    pictures = re.findall(r"<svg.*?</svg>", render_html(make(labels=labels, about=About(dev=DEV))), re.DOTALL)
    # Comparison, calibration, length, scores and loss; the matrix only while it can be read.
    assert len(pictures) == (6 if count <= 20 else 5)
    for picture in pictures:
        root = ET.fromstring(picture)
        title, described = root[0], root[1]
        assert title.tag.endswith("title")
        assert described.tag.endswith("desc")
        assert title.text
        assert described.text
        assert "nan" not in picture


def test_many_classes_show_confused_pairs_in_place_of_the_matrix(make: Maker) -> None:
    text = render_html(make(labels=[f"意图{index}" for index in range(60)], adapter=0.8))
    assert "最常混淆的类别" in text
    assert "混淆矩阵 Confusion matrix" not in text


@pytest.mark.parametrize("clean", [0.0, 1.0])
def test_one_row_no_errors_and_no_clean_rows_still_make_a_page(make: Maker, clean: float) -> None:
    text = render_html(make(n=1, adapter=1.0, clean=clean))
    Page(text)
    assert "没有错误" in text
    assert ("没有干净的行可以评分" in text) == (clean == 0)


def test_a_baseline_far_behind_does_not_squeeze_the_picture(make: Maker) -> None:
    assert "图外" in render_html(make(labels=["甲", "乙", "丙", "丁"], adapter=0.95, tfidf=0.93))
    assert "图外" not in render_html(make(adapter=0.6, tfidf=0.55))


@pytest.mark.parametrize(
    "dev",
    [(), ({"epoch": 1, "accuracy": 0.5},), ({"loss": float("nan")},), ({"note": "nothing measured"},)],
    ids=["none", "one look", "nan", "no numbers"],
)
def test_odd_histories_make_a_page(make: Maker, dev: tuple[dict[str, object], ...]) -> None:
    text = render_html(make(n=20, about=About(dev=dev)))
    Page(text)
    assert ("验证集分数" in text) == (bool(dev) and "accuracy" in dev[0])


def test_text_that_cannot_be_written_or_turns_the_page_round_is_tamed(make: Maker) -> None:
    text = render_html(make(n=50, adapter=0.5, text="坏\ud800\x00\u202e倒"))
    text.encode("utf-8")
    assert "\x00" not in text
    assert "<bdi>坏" in text


def test_tables_scroll_and_have_headings_and_long_texts_are_cut(make: Maker) -> None:
    text = render_html(make(adapter=0.5, text="长" * 4000))
    page = Page(text)
    assert page.count("table") == text.count('<div class="box" tabindex=0><table>') == 3
    assert {"scope"} <= {name for tag, attributes in page.seen if tag == "th" for name in attributes}
    assert "长" * 301 not in text


def test_the_page_is_the_same_in_every_language_setting(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    for language in ("zh", "en"):
        monkeypatch.setenv("QINGTIAO_LANG", language)
        pages.append(render_html(make(n=40)))
    assert pages[0] == pages[1]
    json.dumps(make(n=40).as_json(), allow_nan=False)


def test_shorten_counts_columns_and_escape_is_complete() -> None:
    assert shorten("好评", columns=4) == "好评"
    assert shorten("很长的标签", columns=6) == "很长…"
    assert shorten("abcdef", columns=4) == "abc…"
    assert escape("<a b=\"c\" d='e'>&") == "&lt;a b=&quot;c&quot; d=&#x27;e&#x27;&gt;&amp;"
