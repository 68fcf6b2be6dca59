"""The page of a `MeasuredReport`, built like that of a classifier's report."""

from __future__ import annotations

from qingtiao.evaluate.charts import escape, percent
from qingtiao.evaluate.elements import (
    HEADLINES,
    SEEN,
    SYSTEMS,
    audit,
    both,
    duration,
    header,
    interval,
    section,
    settings,
    shown_spans,
    shown_text,
    table,
    training,
    whole_page,
)
from qingtiao.evaluate.measured import MeasuredBlock, MeasuredReport, MeasuredScores, WorstAnswer, judge_of_rows
from qingtiao.evaluate.measures import Measure


def render_measured(report: MeasuredReport) -> str:
    """The page; it holds all it needs."""
    shares = {one.name: f"{one.zh} {one.en}" for one in report.measures if one.share}
    return whole_page(
        "".join(
            [
                header(report.about),
                _first(report),
                _scores(report),
                training(report.about, shares),
                _worst(report),
                audit(report.about),
                settings(report.about),
                _notes(),
            ]
        )
    )


def shown_value(value: float, measure: Measure) -> str:
    return percent(value) if measure.share else f"{value:.3f}"


def _first(report: MeasuredReport) -> str:
    verdict, about = report.verdict, report.about
    tiles = {
        "行数 rows judged": f"{verdict.n:,}",
        "p（自助法 bootstrap）": f"{verdict.p:.3f}" if verdict.p >= 0.001 else "< 0.001",
        "训练的参数 trained": percent(about.trainable_share, digits=2) if about.trainable_share is not None else "",
        "用时 time": duration(about.seconds),
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles.items() if value)
    return (
        f'<section class="first {verdict.code}"><div><h2>{both(*HEADLINES[verdict.code])}</h2>'
        f'<p class="zh">{escape(verdict.zh)}</p><p class="en" lang="en">{escape(verdict.en)}</p>'
        f'<dl class="tiles">{listed}</dl></div></section>'
    )


def _scores(report: MeasuredReport) -> str:
    head = ("系统 system", "测试行 rows", "#n", *(f"#{one.zh} | {one.en}" for one in report.measures))
    body = []
    systems: dict[str, MeasuredScores] = {"adapter": report.scores, **report.baselines}
    for name, scores in systems.items():
        for block, kind in ((scores.clean_test, "干净 clean"), (scores.test, "全部 all")):
            if block:
                named = both(*SYSTEMS.get(name, (name, "")))
                body.append(f"<tr><th scope=row>{named}</th><td>{kind}</td>{_cells(report, block)}</tr>")
    reason = report.clean_test_reason
    missing = f'<p class="note">{escape(reason["zh"])} {escape(reason["en"])}</p>' if reason else ""
    return section("分数与 95% 区间", "Scores with 95% intervals", missing + table(head, body))


def _cells(report: MeasuredReport, block: MeasuredBlock) -> str:
    cells = [f'<td class="num">{block.n:,}</td>']
    for measure in report.measures:
        scored = block.scores.get(measure.name)
        if scored is None:
            cells.append('<td class="num">—</td>')
            continue
        shown = f"<b>{shown_value(scored.value, measure)}</b>{interval(scored.ci, share=measure.share)}"
        cells.append(f'<td class="num">{shown}</td>')
    return "".join(cells)


def _worst(report: MeasuredReport) -> str:
    if not report.worst_answers:
        return section("最差的回答", "Worst answers", f"<p>{both('没有错误。', 'No errors.')}</p>")
    measure = judge_of_rows(report.measures)
    marked = any(one.gold_spans is not None for one in report.worst_answers)
    texts = () if marked else ("文本 text",)
    head = (*texts, "标准答案 gold", "模型 model", f"#{measure.zh} | {measure.en}", "位置 place")
    body = [
        f"<tr>{''.join(_told(one))}"
        f'<td class="num">{shown_value(one.score, measure)}</td><td><bdi>{escape(one.place)}</bdi></td></tr>'
        for one in report.worst_answers
    ]
    return section("最差的回答", "Worst answers", table(head, body), long=True)


def _told(worst: WorstAnswer) -> list[str]:
    """Text, gold and answer as cells; two of them where gold and answer are marks in the text."""
    if worst.gold_spans is None or worst.predicted_spans is None:
        shown = [shown_text(part) for part in (worst.text, worst.gold, worst.predicted)]
    else:
        shown = [shown_spans(worst.text, spans) for spans in (worst.gold_spans, worst.predicted_spans)]
    shown[0] += "" if worst.clean else SEEN
    return [f'<td class="text">{part}</td>' for part in shown]


def _notes() -> str:
    notes = (
        (
            "干净的测试行：文本没有在训练数据里出现过，也不与其中任何一条近似。判断好坏只看这些行。",
            "Clean test rows: texts neither in the training data nor near to any of it. The verdict uses only these.",
        ),
        (
            "95% 区间和 p：对测试行做 2000 次自助抽样；与基线的差别在同样的抽样上成对计算。",
            "95% intervals and p: 2000 bootstrap resamples of the test rows; differences are paired.",
        ),
    )
    inner = "".join(f"<li>{both(zh, en)}</li>" for zh, en in notes)
    return section("怎样读这一页", "How to read this page", f"<ul>{inner}</ul>")
