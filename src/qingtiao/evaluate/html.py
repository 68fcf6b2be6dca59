"""The report as one stand-alone page: no network, no script, no outside font; Chinese first, English beside.

Everything that comes from data passes through `charts.escape`; a text or a label can neither run nor break out.
"""

from __future__ import annotations

import itertools

from qingtiao.evaluate import charts
from qingtiao.evaluate.charts import escape, percent, shorten
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
    shown_text,
    table,
    training,
    whole_page,
)
from qingtiao.evaluate.judging import AnyReport
from qingtiao.evaluate.measured_html import render_measured
from qingtiao.evaluate.report import Block, Report, Scores

MATRIX_CLASSES = 20
_PAIRS = 10
_PAIRS_INSTEAD_OF_MATRIX = 20


def render_html(report: AnyReport) -> str:
    """The page of a report. It holds all it needs; write it as UTF-8."""
    if not isinstance(report, Report):
        return render_measured(report)
    body = "".join(
        [
            header(report.about),
            _first(report),
            _scores(report),
            _classes_and_confusion(report),
            f'<div class="pair">{_calibration(report)}{_length(report)}</div>',
            training(report.about),
            _errors(report),
            audit(report.about),
            settings(report.about),
            _notes(),
        ]
    )
    return whole_page(body)


def _first(report: Report) -> str:
    """The verdict in words and, beside it, the picture of it: what a reader sees before anything else."""
    verdict = report.verdict
    rows = [
        (*SYSTEMS.get(name, (name, "")), scores.test, scores.clean_test)
        for name, scores in _classifiers(report).items()
    ]
    tiles = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in _tiles(report).items() if value
    )
    return (
        f'<section class="first {verdict.code}"><div><h2>{both(*HEADLINES[verdict.code])}</h2>'
        f'<p class="zh">{escape(verdict.zh)}</p><p class="en" lang="en">{escape(verdict.en)}</p>'
        f'<dl class="tiles">{tiles}</dl></div><div>{charts.comparison(rows)}'
        f'<p class="note">点是准确率，横线是 95% 区间。'
        f'<span lang="en">Dots: accuracy; bars: 95% intervals.</span></p></div></section>'
    )


def _tiles(report: Report) -> dict[str, str]:
    verdict, about = report.verdict, report.about
    return {
        "行数 rows judged": f"{verdict.n:,}",
        "p（McNemar）": f"{verdict.p:.3f}" if verdict.p >= 0.001 else "< 0.001",
        "只有适配器对 adapter only": f"{verdict.adapter_only:,}",
        "只有基线对 baseline only": f"{verdict.baseline_only:,}",
        "训练的参数 trained": percent(about.trainable_share, digits=2) if about.trainable_share is not None else "",
        "用时 time": duration(about.seconds),
    }


def _classifiers(report: Report) -> dict[str, Scores]:
    return {"adapter": Scores(report.test, report.clean_test), **report.baselines}


def _scores(report: Report) -> str:
    head = ("分类器 classifier", "测试行 rows", "#n", "#准确率 accuracy", "#宏平均F1 macro-F1", "#NLL", "#ECE")
    body = []
    for name, scores in _classifiers(report).items():
        zh, en = SYSTEMS.get(name, (name, ""))
        for block, kind in ((scores.clean_test, "干净 clean"), (scores.test, "全部 all")):
            if block:
                body.append(f"<tr><th scope=row>{both(zh, en)}</th><td>{kind}</td>{_block_cells(block)}</tr>")
    reason = report.clean_test_reason
    missing = f'<p class="note">{escape(reason["zh"])} {escape(reason["en"])}</p>' if reason else ""
    return section("分数与 95% 区间", "Scores with 95% intervals", missing + table(head, body))


def _block_cells(block: Block) -> str:
    return (
        f'<td class="num">{block.n:,}</td>'
        f'<td class="num"><b>{percent(block.accuracy)}</b>{interval(block.accuracy_ci)}</td>'
        f'<td class="num"><b>{percent(block.macro_f1)}</b>{interval(block.macro_f1_ci)}</td>'
        f'<td class="num">{block.nll:.3f}</td><td class="num">{block.ece:.3f}</td>'
    )


def _classes_and_confusion(report: Report) -> str:
    matrix = report.confusion_matrix
    pairs = section("最常混淆的类别", "Most confused classes", _confused_pairs(report))
    if len(matrix.labels) > MATRIX_CLASSES:
        return _per_class(report) + pairs
    picture = section("混淆矩阵", "Confusion matrix", f'<div class="box">{charts.confusion(matrix)}</div>')
    if len(matrix.labels) > 6:
        return picture + f'<div class="pair">{_per_class(report)}{pairs}</div>'
    return f'<div class="pair">{_per_class(report)}{picture}</div>'


def _per_class(report: Report) -> str:
    head = ("类别 class", "#精确率 precision", "#召回率 recall", "#F1", "#行数 rows")
    body = [
        f"<tr><th scope=row><bdi>{escape(shorten(one.label, columns=60))}</bdi></th>"
        f'<td class="num">{percent(one.precision)}</td><td class="num">{percent(one.recall)}</td>'
        f'<td class="num">{percent(one.f1)}{_meter(one.f1)}</td><td class="num">{one.support:,}</td></tr>'
        for one in report.per_class
    ]
    return section("各类别", "Per class", table(head, body), long=True)


def _meter(share: float | None) -> str:
    return "" if share is None else f'<span class="meter"><i style="width:{100 * share:.0f}%"></i></span>'


def _confused_pairs(report: Report) -> str:
    matrix = report.confusion_matrix
    wrong = [
        (matrix.counts[row][column], row, column)
        for row, column in itertools.permutations(range(len(matrix.labels)), 2)
        if matrix.counts[row][column]
    ]
    if not wrong:
        return f'<p class="note">{both("一个也没有错。", "Not one error.")}</p>'
    wrong.sort(key=lambda item: (-item[0], item[1], item[2]))
    names = [f"<bdi>{escape(shorten(label, columns=40))}</bdi>" for label in matrix.labels]
    body = [
        f'<tr><td class="word">{names[row]}</td><td class="word">{names[column]}</td><td class="num">{count}'
        f' <span class="en">/ {sum(matrix.counts[row])}</span></td></tr>'
        for count, row, column in wrong[: _PAIRS if len(names) <= MATRIX_CLASSES else _PAIRS_INSTEAD_OF_MATRIX]
    ]
    return table(("实际 gold", "误判为 predicted", "#次数 count"), body)


def _calibration(report: Report) -> str:
    note = (
        f"ECE = {report.calibration.ece:.3f}。点在虚线上方是过分谦虚，下方是过分自信。"
        '<span lang="en">Dots below the dashed line are over-confident, above it under-confident.</span>'
    )
    picture = charts.reliability(report.calibration)
    return section("置信度可信吗", "Can the confidence be trusted?", f'{picture}<p class="note">{note}</p>')


def _length(report: Report) -> str:
    return section("长短文本", "By text length", charts.accuracy_by_length(report.by_length))


def _errors(report: Report) -> str:
    if not report.worst_errors:
        return section("错得最自信的", "Most confident errors", f"<p>{both('没有错误。', 'No errors.')}</p>")
    head = ("文本 text", "实际 gold", "预测 predicted", "#置信度 confidence", "位置 place")
    body = []
    for error in report.worst_errors:
        body.append(
            f'<tr><td class="text">{shown_text(error.text)}{"" if error.clean else SEEN}</td>'
            f'<td class="word"><bdi>{escape(shorten(error.gold, columns=40))}</bdi></td>'
            f'<td class="word"><bdi>{escape(shorten(error.predicted, columns=40))}</bdi></td>'
            f'<td class="num">{percent(error.confidence)}</td><td><bdi>{escape(error.place)}</bdi></td></tr>'
        )
    note = (
        "很自信却判错的行，常常是标签标错了，值得先看。"
        '<span lang="en">Rows missed with high confidence are often mislabelled: look here first.</span>'
    )
    return section("错得最自信的", "Most confident errors", f'<p class="note">{note}</p>{table(head, body)}', long=True)


def _notes() -> str:
    notes = (
        (
            "干净的测试行：文本没有在训练数据里出现过，也不与其中任何一条近似。判断好坏只看这些行。",
            "Clean test rows: texts neither in the training data nor near to any of it. The verdict uses only these.",
        ),
        (
            "95% 区间：换一批同样来源的测试数据，分数大致会落在哪里。准确率用 Wilson 法，宏平均 F1 用 BCa 自助法。",
            "95% intervals: Wilson for accuracy, BCa bootstrap for macro-F1.",
        ),
        (
            "p（McNemar mid-p）：若两者其实一样好，出现这么大差别的机会。小于 0.05 才说有差别。",
            "p (McNemar mid-p): the chance of so large a gap if both were equally good; below 0.05 counts as one.",
        ),
        (
            "TF-IDF 基线：一到三字片段的词频加逻辑回归。多数类：总猜训练集里最多的一类。都用同样的训练数据。",
            "TF-IDF baseline: character 1-3-grams with logistic regression. Majority: always the most frequent class. "
            "Both learn from the same rows.",
        ),
        (
            "NLL：负对数似然，越小越好。ECE：置信度与准确率的平均差距，越小越好；行数少时偏大。",
            "NLL and ECE: lower is better; ECE is biased upwards when rows are few.",
        ),
        (
            "除判断外，类别、混淆、校准、长度各表都用全部测试行。",
            "Per-class scores, confusion, calibration and length are over all test rows.",
        ),
    )
    inner = "".join(f"<li>{both(zh, en)}</li>" for zh, en in notes)
    return section("怎样读这一页", "How to read this page", f"<ul>{inner}</ul>")
