"""The page of a comparison: the advice, the picture of it, what each costs, and every pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qingtiao.evaluate import charts
from qingtiao.evaluate.charts import escape, percent
from qingtiao.evaluate.comparison import Comparison, Contender, each, rivals, shown
from qingtiao.evaluate.elements import both, duration, interval, section, settings, table, whole_page
from qingtiao.evaluate.report import About


def render_comparison(found: Comparison) -> str:
    """The page; it holds all it needs."""
    return whole_page(
        "".join(
            [
                f"<header><h1>{both('轻调对比报告', 'Qingtiao comparison')}</h1></header>",
                _first(found),
                _costs(found),
                _pairs(found),
                _entries(found.about),
                _notes(found),
            ]
        )
    )


def _first(found: Comparison) -> str:
    title_zh, title_en = next(one.title for one in found.contenders if one.name == found.advice.take)
    in_race = rivals(found.contenders, found.measure)  # a baseline far below would squeeze these together
    heading = both(title_zh, title_en if title_en != title_zh else "")
    rows = [(one.title[0], one.score(found.measure), one.interval(found.measure)) for one in in_race]
    name = f"{found.measure.zh} {found.measure.en}"
    picture = charts.forest(rows, title=name, show=lambda value: shown(found.measure, value))
    return (
        f'<section class="first adapter_better"><div><h2>{heading}</h2>'
        f'<p class="zh">{escape(found.advice.zh)}</p><p class="en" lang="en">{escape(found.advice.en)}</p></div>'
        f'<div>{picture}<p class="note">{both(f"点是{found.measure.zh}，横线是 95% 区间。", "Dots and 95% intervals.")}'
        f"</p></div></section>"
    )


def _costs(found: Comparison) -> str:
    scores = [name.removesuffix("_ci") for name in found.contenders[0].test if name.endswith("_ci")]
    head = (
        *("系统 system", "测试行 rows", "#n", *(_title(found, name) for name in scores)),
        *("#训练用时 training", "#参数 parameters", "#训练的 trained", "#bundle", "#每条 per row"),
    )
    body = []
    for one in found.contenders:
        for kind, block in (("干净 clean", one.clean_test), ("全部 all", one.test)):
            if block:
                costs = _cost_cells(one) if block is (one.clean_test or one.test) else "<td></td>" * 5
                body.append(
                    f"<tr><th scope=row>{_name(one)}</th><td>{kind}</td>{_cells(found, block, scores)}{costs}</tr>"
                )
    return section("分数与代价", "Scores and costs", table(head, body))


def _name(one: Contender) -> str:
    zh, en = one.title
    detail = f"{one.task} · {one.base}" if one.base else en
    return f'<bdi>{escape(zh)}</bdi><br><span class="en">{escape(detail)}</span>'


def _title(found: Comparison, score: str) -> str:
    about = found.about.get("measures", {}).get(score)
    return f"#{about['zh']} | {about['en']}" if about else f"#{score}"


def _cells(found: Comparison, block: Mapping[str, Any], scores: list[str]) -> str:
    cells = [f'<td class="num">{block["n"]:,}</td>']
    measures = found.about.get("measures", {})
    for name in scores:
        share = measures[name]["share"] if name in measures else True
        value = percent(block[name]) if share else f"{block[name]:.3f}"
        cells.append(f'<td class="num"><b>{value}</b>{interval(block[f"{name}_ci"], share=share)}</td>')
    return "".join(cells)


def _cost_cells(one: Contender) -> str:
    shown_costs = (
        duration(one.train_seconds),
        f"{one.parameters:,}" if one.parameters is not None else "—",
        percent(one.trained_share, digits=2),
        f"{one.bundle_bytes / 2**20:.1f} MB" if one.bundle_bytes is not None else "—",
        each(one.seconds_per_row),
    )
    return "".join(f'<td class="num">{escape(cost)}</td>' for cost in shown_costs)


def _pairs(found: Comparison) -> str:
    titles = {one.name: one.title[0] for one in found.contenders}
    head = ("较好 better", "较差 worse", f"#{found.measure.zh}相差 gap", "#p", "#p（Holm）", "结论 conclusion")
    body = []
    for pair in found.pairs:
        gap, low, high = (
            f"{100 * value:+.1f}" if found.measure.share else f"{value:+.3f}"
            for value in (pair.difference, *pair.difference_ci)
        )
        zh, en = ("有差别", "differ") if pair.told_apart else ("分不出高下", "cannot be told apart")
        body.append(
            f'<tr><td class="word">{escape(titles[pair.first])}</td><td class="word">{escape(titles[pair.second])}</td>'
            f'<td class="num">{gap}<span class="ci">[{low}, {high}]</span></td>'
            f'<td class="num">{_p(pair.p)}</td><td class="num">{_p(pair.p_holm)}</td><td>{both(zh, en)}</td></tr>'
        )
    return section("两两比较", "Pair by pair", table(head, body))


def _p(value: float) -> str:
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _entries(about: Mapping[str, Any]) -> str:
    return settings(About(config=about.get("entries", {}), versions=about.get("versions", {})))


def _notes(found: Comparison) -> str:
    test = (
        ("准确率的差用 McNemar mid-p 检验", "Accuracies are compared by McNemar's mid-p")
        if found.measure.name == "accuracy"
        else (f"{found.measure.zh}的差用配对自助法检验", f"{found.measure.en} is compared by a paired bootstrap")
    )
    notes = (
        (
            "所有系统用同样的训练行、验证行和测试行；判断只看干净的测试行（训练里没有，也不近似）。",
            "All were trained and judged on the same rows; conclusions are of clean test rows alone.",
        ),
        (
            f"{test[0]}。比较 {len(found.pairs)} 对就有 {len(found.pairs)} 次误报的机会，"
            "所以另给 Holm 校正的 p，结论按它下；区间没有为此放宽。",
            f"{test[1]}. {len(found.pairs)} pairs are as many chances of a false alarm, so conclusions go by "
            "Holm's p; intervals are not widened for it.",
        ),
        (
            "“分不出高下”不是一样好：行再多些，也许就分得出。基线里只有最好的一个参加两两比较。",
            "What cannot be told apart need not be equal. Only the best baseline takes part in the pairs.",
        ),
        (
            "每条用时是在这台机器上成批预测全部测试行的平均；训练用时不含评测与核对，各基线合计。",
            "Time per row: the mean over the test rows, in batches, on this machine. Training time is without "
            "evaluation, and that of the baselines is one for all.",
        ),
    )
    return section(
        "怎样读这一页", "How to read this page", f"<ul>{''.join(f'<li>{both(*one)}</li>' for one in notes)}</ul>"
    )
