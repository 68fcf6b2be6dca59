"""How each kind of answer is shown on the page: a Gradio component, and the value it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from qingtiao.answers import Answer, Keywords, LabelSet, Prediction, Spans, Text, Value
from qingtiao.serve.answers import shown_probabilities
from qingtiao.task import Task

_MOST_LABELS = 10
_TITLE = "答案 | Answer"


class Shown(NamedTuple):
    """`component` makes the output box; `value` is what an answer, and what was asked, put into it."""

    component: Callable[[], Any]
    value: Callable[[Any, Mapping[str, Any]], Any]


def shown_as(task: Task) -> Shown:
    """By the kind of the task's answers, which its blank answer is one of."""
    return _KINDS[type(task.blank_answer())]


def _probabilities(answer: Any, _: Mapping[str, Any]) -> dict[str, float]:
    return shown_probabilities(answer.probabilities)


def _label() -> Any:
    return gr.Label(label=_TITLE, num_top_classes=_MOST_LABELS)


def _text() -> Any:
    return gr.Textbox(label=_TITLE, lines=4, max_lines=20, buttons=["copy"])


def _html() -> Any:
    return gr.HTML(label=_TITLE, elem_classes="qt-answer")


def _marked() -> Any:
    return gr.HighlightedText(label=_TITLE)


def _spans(answer: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is marked, inside the text: the first field of what was asked, in which offsets count."""
    entities = [{"entity": one.label, "start": one.start, "end": one.end} for one in answer.spans]
    return {"text": next(iter(asked.values())), "entities": entities}


def _keywords(answer: Any, _: Mapping[str, Any]) -> str:
    return " ".join(f"<mark>{escape(word)}</mark>" for word in answer.keywords) or "—"


_KINDS: dict[type[Answer], Shown] = {
    Prediction: Shown(_label, _probabilities),
    LabelSet: Shown(_label, _probabilities),
    Value: Shown(lambda: gr.Number(label=_TITLE, precision=3), lambda answer, _: answer.value),
    Spans: Shown(_marked, _spans),
    Keywords: Shown(_html, _keywords),
    Text: Shown(_text, lambda answer, _: answer.text),
}
