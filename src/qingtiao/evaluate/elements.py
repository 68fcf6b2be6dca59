"""What both kinds of report page are built of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from qingtiao.answers import Span
from qingtiao.evaluate import charts
from qingtiao.evaluate.charts import escape
from qingtiao.evaluate.report import About, strict_json
from qingtiao.evaluate.stats import Interval
from qingtiao.evaluate.style import CSS

HEADLINES = {
    "adapter_better": ("适配器更好", "The adapter is better"),
    "tie": ("看不出差别", "No difference shown"),
    "baseline_better": ("基线更好", "The baseline is better"),
}
CLASSIFIER_SCORES = {"accuracy": "准确率 accuracy", "macro_f1": "宏平均 F1 macro-F1"}
_LOSS = {"loss": "损失 loss"}
SYSTEMS = {
    "adapter": ("适配器", "adapter"),
    "tfidf": ("TF-IDF 基线", "TF-IDF baseline"),
    "majority": ("多数类", "majority"),
    "memory": ("最像的训练行", "nearest training row"),
    "base": ("没训练过的基座", "untrained base"),
    "retrieval": ("照搬最像的问题", "most similar question"),
    "lead": ("首句", "first sentence"),
    "lead_k": ("开头截取", "beginning"),
    "copy": ("照抄原文", "copy"),
    "lookalike": ("最像的训练图片", "most similar training image"),
    "chance": ("随机", "chance"),
    "dictionary": ("词典", "dictionary"),
    "phrases": ("TF-IDF 短语", "TF-IDF phrases"),
    "ridge": ("TF-IDF 岭回归", "ridge on TF-IDF"),
    "mean": ("平均值", "mean"),
}
SHOWN_CHARACTERS = 300
_AROUND = 40  # characters of unmarked text kept on either side of what is marked


def whole_page(body: str) -> str:
    """A stand-alone page: no network, no script, no outside font."""
    title = "轻调评估报告 Qingtiao report"
    return (
        '<!doctype html>\n<html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{CSS}</style></head><body><main>{body}</main></body></html>\n"
    )


def header(given: About) -> str:
    about = [str(given.config.get("task", "")), _line_of(given.base), _line_of(given.adapter)]
    return (
        f"<header><h1>{both('轻调评估报告', 'Qingtiao report')}</h1>"
        f"<p>{escape(' · '.join(part for part in about if part))}</p></header>"
    )


def _line_of(values: Mapping[str, Any]) -> str:
    named = values.get("name") or values.get("method")
    rest = [f"{key} {value}" for key, value in values.items() if key in ("revision", "r", "alpha") and value]
    return " ".join([str(named), *rest]) if named else ""


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def training(about: About, shares: Mapping[str, str] = CLASSIFIER_SCORES) -> str:
    """Curves of the looks at the dev rows: `shares` (name to title) in percent, and the loss."""
    points = [_point(index, look) for index, look in enumerate(about.dev, start=1)]
    pictures = []
    for titles, share in ((shares, True), (_LOSS, False)):
        shown = [name for name in titles if any(name in point for point in points)]
        if shown:
            used = [
                {"x": point["x"]} | {titles[name]: point[name] for name in shown if name in point} for point in points
            ]
            zh, en = ("验证集分数", "Dev scores") if share else ("验证集损失", "Dev loss")
            picture = charts.curve(used, [titles[name] for name in shown], title=f"{zh} {en}", as_percent=share)
            pictures.append(section(zh, en, picture))
    return f'<div class="pair">{"".join(pictures)}</div>' if pictures else ""


def _point(index: int, look: Mapping[str, Any]) -> dict[str, float]:
    """One look at the dev rows, flat: the finite numbers among its own keys and those under `metrics`."""
    flat = {**look, **(look.get("metrics") or {})}
    known = {
        name.removeprefix("eval_"): float(value)
        for name, value in flat.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return {**known, "x": known.get("epoch", known.get("step", float(index)))}


def audit(about: About) -> str:
    return section("数据体检", "Data audit", _values(about.audit), long=True) if about.audit else ""


def settings(about: About) -> str:
    blocks = (
        ("基座", "Base", about.base),
        ("适配器", "Adapter", about.adapter),
        ("配置", "Config", about.config),
        ("版本", "Versions", about.versions),
    )
    inner = "".join(
        f"<details><summary>{both(zh, en)}</summary>{_values(values)}</details>" for zh, en, values in blocks if values
    )
    return section("怎样得来的", "How it was made", inner, long=True) if inner else ""


def _values(values: Mapping[str, Any]) -> str:
    """Plain values as a table; nested ones folded away as indented JSON."""
    plain = {key: value for key, value in strict_json(values).items() if not isinstance(value, dict | list)}
    nested = {key: value for key, value in strict_json(values).items() if isinstance(value, dict | list) and value}
    body = [f"<tr><th scope=row>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in plain.items()]
    folded = "".join(
        f"<details><summary>{escape(key)}</summary>"
        f"<pre>{escape(json.dumps(value, ensure_ascii=False, indent=1))}</pre></details>"
        for key, value in nested.items()
    )
    return (table(("项 item", "值 value"), body) if body else "") + folded


def section(zh: str, en: str, inner: str, *, long: bool = False) -> str:
    kind = ' class="long"' if long else ""
    return f"<section{kind}><h2>{both(zh, en)}</h2>{inner}</section>"


def table(head: Sequence[str], body: Sequence[str]) -> str:
    """A table in a box that scrolls; a heading that begins with # stands over numbers."""
    cells = "".join(_heading(name) for name in head)
    return (
        f'<div class="box" tabindex=0><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _heading(name: str) -> str:
    """`#准确率 accuracy` as a heading of two lines, Chinese over English; ` | ` divides words that hold spaces."""
    zh, _, en = name.removeprefix("#").partition(" | " if " | " in name else " ")
    words = f'{escape(zh)}<br><span class="en" lang="en">{escape(en)}</span>' if en else escape(zh)
    return f'<th scope=col class="{"num" if name.startswith("#") else "word"}">{words}</th>'


def both(zh: str, en: str) -> str:
    english = f' <span class="en" lang="en">{escape(en)}</span>' if en else ""
    return escape(zh) + english


def interval(ends: Interval, *, share: bool = True) -> str:
    low, high = (f"{100 * end:.1f}" if share else f"{end:.3f}" for end in ends)
    return f'<span class="ci">{low}–{high}</span>'


def shown_text(text: str) -> str:
    return f"<bdi>{escape(text[:SHOWN_CHARACTERS] + ('…' if len(text) > SHOWN_CHARACTERS else ''))}</bdi>"


def shown_spans(text: str, spans: Sequence[Span]) -> str:
    """The text with its spans standing out, their labels behind them; long stretches between are left out."""
    parts, at = [], 0
    for span in spans:
        parts.append(_between(text[at : span.start], before=at > 0, behind=True))
        parts.append(f"<mark>{escape(span.text)}<small>{escape(span.label)}</small></mark>")
        at = span.end
    if not spans:
        return shown_text(text)
    return f"<bdi>{''.join(parts)}{_between(text[at:], before=True, behind=False)}</bdi>"


def _between(text: str, *, before: bool, behind: bool) -> str:
    """An unmarked stretch, with as much of it as is next to a mark `before` it and `behind` it."""
    if len(text) <= _AROUND * (before + behind):
        return escape(text)
    return escape((text[:_AROUND] if before else "") + "…" + (text[-_AROUND:] if behind else ""))


SEEN = '<br><span class="tag">训练里见过 seen in training</span>'
