"""The report's pictures as SVG text: no script, no font, no network; colours come from the page's CSS variables.

Each chart is drawn about 400 units wide with 12-unit text, so that it still reads when a phone shrinks it to 340 px.
Each has a title and a description for those who cannot see it.
"""

from __future__ import annotations

import html
import itertools
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from qingtiao.evaluate.report import Block, Calibration, ConfusionMatrix, LengthSlice
from qingtiao.evaluate.stats import Interval

WIDTH = 400

Scale = Callable[[float], float]


def escape(text: object) -> str:
    """`text` safe inside HTML or SVG: markup and quotes escaped, lone surrogates and control characters replaced."""
    valid = str(text).encode("utf-8", "replace").decode("utf-8")
    return html.escape("".join(mark if mark in "\n\t" or ord(mark) >= 32 else "�" for mark in valid))


def shorten(text: str, *, columns: int) -> str:
    """`text` cut to a display width, where a Chinese character or an emoji takes two columns."""
    used = 0
    for index, mark in enumerate(text):
        used += 2 if unicodedata.east_asian_width(mark) in "WF" else 1
        if used > columns:
            return text[: max(1, index - 1)] + "…"
    return text


def percent(value: float | None, *, digits: int = 1) -> str:
    return "—" if value is None else f"{100 * value:.{digits}f}%"


def comparison(rows: Sequence[tuple[str, str, Block, Block | None]]) -> str:
    """Accuracy with its interval: (name in Chinese, in English, all test rows, clean rows) for each classifier."""
    floor, step = _comparison_axis([block for *_, test, clean in rows for block in (test, clean) if block])
    height = 62 + 58 * len(rows)
    left, right = 18, 258

    def x(value: float) -> float:
        return left + (right - left) * (value - floor) / (1 - floor)

    body = [
        _legend_dot(left + 6, 12, "clean", "干净测试行 clean"),
        _legend_dot(left + 150, 12, "all", "全部测试行 all"),
    ]
    for tick in range(round((1 - floor) / step) + 1):
        value = floor + tick * step
        body.append(_line(x(value), 28, x(value), height - 26, "grid"))
        body.append(_text(x(value), height - 10, percent(value, digits=0), "small middle"))
    for index, (zh, en, test, clean) in enumerate(rows):
        top = 44 + 58 * index
        body.append(_text(4, top, zh, "strong") + _text(WIDTH - 4, top, en, "small end"))
        shown = [(clean, "clean", top + 16)] if clean else []
        for block, kind, y in [*shown, (test, "all", top + (34 if clean else 24))]:
            body.append(_whisker_row(block, kind, x=x, y=y, floor=floor))
    described = "；".join(f"{zh} {percent((clean or test).accuracy)}" for zh, _, test, clean in rows)
    return _svg(WIDTH, height, "准确率对比 Accuracy compared", described, "".join(body))


def _comparison_axis(blocks: Sequence[Block]) -> tuple[float, float]:
    """Where the axis begins and how far apart its ticks are, to show the gap between the good ones.

    A classifier more than 30 points behind the best would squeeze the others together; it is drawn as an arrow off
    the axis.
    """
    best = max(block.accuracy for block in blocks)
    lowest = min(block.accuracy_ci.low for block in blocks if block.accuracy >= best - 0.3)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2) if (1 - lowest) / step <= 5 or step == 0.2)
    return max(0.0, 1 - step * math.ceil((1 - lowest) / step)), step


def forest(rows: Sequence[tuple[str, float, Interval]], *, title: str, show: Callable[[float], str]) -> str:
    """A dot and its interval for each (name, value, interval), one below the other on a common axis."""
    low, high = min(ends.low for *_, ends in rows), max(ends.high for *_, ends in rows)
    left, right, height = 18, WIDTH - 18, 30 + 44 * len(rows)

    def x(value: float) -> float:
        return left + (right - left) * ((value - low) / (high - low) if high > low else 0.5)

    body = []
    for share, kind in ((0.0, "small"), (0.5, "small middle"), (1.0, "small end")):
        value = low + (high - low) * share
        body.append(_line(x(value), 8, x(value), height - 22, "grid") + _text(x(value), height - 6, show(value), kind))
    for index, (name, value, ends) in enumerate(rows):
        y = 38 + 44 * index
        body.append(_text(4, y - 14, shorten(name, columns=30), "strong", tip=name))
        body.append(_text(WIDTH - 4, y - 14, f"{show(value)}  [{show(ends.low)}, {show(ends.high)}]", "small end"))
        body.append(_line(x(ends.low), y, x(ends.high), y, "whisker clean"))
        body.extend(_line(x(end), y - 4, x(end), y + 4, "whisker clean") for end in ends)
        body.append(_circle(x(value), y, 5, "dot"))
    described = "；".join(f"{name} {show(value)}" for name, value, _ in rows)
    return _svg(WIDTH, height, title, described, "".join(body))


def reliability(calibration: Calibration) -> str:
    """Accuracy over confidence, one dot a bin (area by rows) with its interval; the diagonal is perfect calibration."""
    left, top, wide, tall, bars = 46, 10, 330, 210, 40

    def x(value: float) -> float:
        return left + wide * value

    def y(value: float) -> float:
        return top + tall * (1 - value)

    base = top + tall + 16 + bars
    most = max(group.n for group in calibration.bins)
    body = [_percent_grid(left, left + wide, y)]
    body.append(_line(x(0), y(0), x(1), y(1), "ideal"))
    for group in calibration.bins:
        radius = 3 + 5 * math.sqrt(group.n / most)
        tip = f"{percent(group.low, digits=0)}–{percent(group.high, digits=0)}：n={group.n}"
        body.append(_whisker(group.accuracy_ci, at=x(group.confidence), y=y))
        body.append(_circle(x(group.confidence), y(group.accuracy), radius, "dot", tip))
        column = bars * group.n / most
        corner, size = (x(group.low) + 1, base - column), (wide * (group.high - group.low) - 2, column)
        body.append(_rect(corner, size, "bar", tip))
    for value in (0, 0.5, 1):
        body.append(_text(x(value), base + 16, percent(value, digits=0), "small middle"))
    body.append(_text(x(0.5), base + 34, "置信度 confidence（下方柱：行数 rows）", "small middle"))
    described = f"ECE {calibration.ece:.3f}；{len(calibration.bins)} 组 bins"
    return _svg(WIDTH, base + 42, "可靠性图 Reliability diagram", described, "".join(body))


def accuracy_by_length(slices: Sequence[LengthSlice]) -> str:
    """One bar a slice of text length, with its interval and its number of rows."""
    left, top, tall = 46, 10, 190
    step = (WIDTH - left - 6) / max(3, len(slices))

    def y(value: float) -> float:
        return top + tall * (1 - value)

    body = [_percent_grid(left, WIDTH - 6, y)]
    for index, part in enumerate(slices):
        middle = left + step * (index + 0.5)
        name = f"{part.low}–{part.high}" if part.high is not None else f"≥{part.low}"
        tip = f"{name} 字 characters：{percent(part.accuracy)}，n={part.n}"
        corner, size = (middle - step * 0.3, y(part.accuracy)), (step * 0.6, tall * part.accuracy)
        body.append(_rect(corner, size, "bar", tip))
        body.append(_whisker(part.accuracy_ci, at=middle, y=y))
        body.append(_text(middle, top + tall + 16, name, "small middle"))
        body.append(_text(middle, top + tall + 31, f"n={part.n}", "tiny middle"))
    body.append(_text((left + WIDTH) / 2, top + tall + 50, "文本长度（字）length in characters", "small middle"))
    described = "；".join(f"{part.low}+ 字 {percent(part.accuracy)}" for part in slices)
    return _svg(WIDTH, top + tall + 58, "各长度的准确率 Accuracy by length", described, "".join(body))


def confusion(matrix: ConfusionMatrix) -> str:
    """Heat map, row = gold, column = predicted; the shade is the share of the gold row. For up to 20 classes."""
    classes = len(matrix.labels)
    cell = min(72, max(28, 280 // classes))
    slanted = cell < 60
    left, top = 104, 92 if slanted else 44
    width = left + classes * cell + (62 if slanted else 8)
    body = [_text(left - 8, top - 8, "实际↓ 预测→", "tiny end")]
    for index, label in enumerate(matrix.labels):
        middle = left + cell * (index + 0.5)
        name = shorten(label, columns=12 if slanted else 9)
        body.append(_text(middle, top - 8, name, "small" if slanted else "small middle", slant=slanted, tip=label))
        body.append(_text(left - 8, top + cell * (index + 0.5) + 4, shorten(label, columns=14), "small end", tip=label))
    for row, column in itertools.product(range(classes), repeat=2):
        body.append(_matrix_cell(matrix, row, column, x=left + cell * column, y=top + cell * row, cell=cell))
    described = f"{classes} 类；对角线是答对的 the diagonal is right"
    return _svg(width, top + classes * cell + 6, "混淆矩阵 Confusion matrix", described, "".join(body), fixed=True)


def curve(points: Sequence[Mapping[str, float]], names: Sequence[str], *, title: str, as_percent: bool) -> str:
    """Dev metrics `names` over `x`, the epoch or the step, one line each."""
    left, right, top, tall = 46, WIDTH - 12, 28, 170
    values = [point[name] for point in points for name in names if name in point]
    low, high = min(values), max(values)
    pad = (high - low) * 0.1 or abs(high) * 0.05 or 0.05
    low, high = low - pad, min(1.0, high + pad) if as_percent else high + pad
    first, last = points[0]["x"], points[-1]["x"]

    def x(value: float) -> float:
        return left + (right - left) * ((value - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return top + tall * (high - value) / (high - low)

    body = []
    for share in (0.0, 0.5, 1.0):
        value = low + (high - low) * share
        body.append(_line(left, y(value), right, y(value), "grid"))
        body.append(_text(left - 6, y(value) + 4, percent(value) if as_percent else f"{value:.3f}", "small end"))
    for index, name in enumerate(names):
        places = [(x(point["x"]), y(point[name])) for point in points if name in point]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        body.append(f'<polyline class="line line{index % 2}" points="{path}"/>')
        body.extend(_circle(across, down, 3.5, f"mark{index % 2}") for across, down in places)
        body.append(_circle(left + 8 + 150 * index, 11, 4, f"mark{index % 2}"))
        body.append(_text(left + 18 + 150 * index, 15, name, "small"))
    body.append(_text(left, top + tall + 18, f"{first:g}", "small middle"))
    body.append(_text(right, top + tall + 18, f"{last:g}", "small end"))
    body.append(_text((left + right) / 2, top + tall + 18, "训练遍数或步数 epoch or step", "small middle"))
    best = "；".join(f"{name} {points[-1][name]:.4g}" for name in names if name in points[-1])
    return _svg(WIDTH, top + tall + 28, title, best, "".join(body))


def _matrix_cell(matrix: ConfusionMatrix, row: int, column: int, *, x: float, y: float, cell: float) -> str:
    count, total = matrix.counts[row][column], sum(matrix.counts[row])
    share = count / total if total else 0.0
    # Never over half opaque, so that the page's ink keeps its contrast on every shade, light and dark.
    opacity = 0.0 if count == 0 else 0.06 + 0.44 * share if row == column else min(0.5, 0.1 + 0.8 * share)
    tip = f"{matrix.labels[row]} → {matrix.labels[column]}：{count} / {total}"
    kind = "right" if row == column else "wrong"
    corner, size = (x + 1, y + 1), (cell - 2, cell - 2)
    box = _rect(corner, size, "empty") + _rect(corner, size, kind, tip, opacity=opacity)
    # A dot for nothing keeps the eye on what happened when there are many classes.
    shown = str(count) if count or len(matrix.labels) <= 6 else "·"
    font = "tiny" if cell < 40 else "small"
    return box + _text(x + cell / 2, y + cell / 2 + 4, shown, f"{font} middle{'' if count else ' faint'}")


def _whisker_row(block: Block, kind: str, *, x: Scale, y: float, floor: float) -> str:
    numbers = _text(318, y + 4, percent(block.accuracy), "strong end" if kind == "clean" else "small end") + _text(
        WIDTH - 4, y + 4, f"{100 * block.accuracy_ci.low:.1f}–{100 * block.accuracy_ci.high:.1f}", "small end"
    )
    if block.accuracy_ci.low < floor - 1e-9:
        return _text(x(floor), y + 4, "◂ 图外 off the chart", "small") + numbers
    low, high = x(block.accuracy_ci.low), x(block.accuracy_ci.high)
    ends = "".join(_line(end, y - 4, end, y + 4, f"whisker {kind}") for end in (low, high))
    dot = _circle(x(block.accuracy), y, 5.5 if kind == "clean" else 4, f"dot {kind}", f"n={block.n}")
    return _line(low, y, high, y, f"whisker {kind}") + ends + dot + numbers


def _legend_dot(x: float, y: float, kind: str, name: str) -> str:
    return _circle(x, y, 5.5 if kind == "clean" else 4, f"dot {kind}") + _text(x + 12, y + 4, name, "small")


def _whisker(interval: Interval, *, at: float, y: Scale) -> str:
    low, high = y(interval.low), y(interval.high)
    ends = "".join(_line(at - 4, end, at + 4, end, "whisker") for end in (low, high))
    return _line(at, low, at, high, "whisker") + ends


def _percent_grid(left: float, right: float, y: Scale) -> str:
    lines = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines.append(_line(left, y(value), right, y(value), "grid"))
        lines.append(_text(left - 6, y(value) + 4, percent(value, digits=0), "small end"))
    return "".join(lines)


def _svg(width: float, height: float, title: str, described: str, body: str, *, fixed: bool = False) -> str:
    style = f' style="width:{width * 1.1:.0f}px" class="fixed"' if fixed else ""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img"{style} xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(described)}</desc>{body}</svg>"
    )


def _text(x: float, y: float, text: str, kind: str, *, slant: bool = False, tip: str | None = None) -> str:
    turned = f' transform="rotate(-40 {x:.1f} {y:.1f})"' if slant else ""
    inner = f"<title>{escape(tip)}</title>" if tip and tip != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{turned}>{inner}{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _circle(x: float, y: float, radius: float, kind: str, tip: str = "") -> str:
    inner = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{kind}">{inner}</circle>'


def _rect(
    corner: tuple[float, float],
    size: tuple[float, float],
    kind: str,
    tip: str = "",
    *,
    opacity: float | None = None,
) -> str:
    inner = f"<title>{escape(tip)}</title>" if tip else ""
    shade = f' fill-opacity="{opacity:.2f}"' if opacity is not None else ""
    place = f'x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{max(0.0, size[0]):.1f}" height="{max(0.0, size[1]):.1f}"'
    return f'<rect {place} class="{kind}"{shade}>{inner}</rect>'
