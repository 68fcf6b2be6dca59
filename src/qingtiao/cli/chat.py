"""`qingtiao chat`"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qingtiao.cli.options import AsJson, Bundle
from qingtiao.cli.output import stderr
from qingtiao.errors import UserError
from qingtiao.language import say

if TYPE_CHECKING:
    from qingtiao.predict import Predictor

NEW, LEAVE = "/new", "/exit"


def chat(
    bundle: Bundle,
    system: Annotated[str, typer.Option("--system", help=say("系统提示", "system prompt"))] = "",
    as_json: AsJson = False,
) -> None:
    """和模型对话，边写边看 | Talk to the model and watch it write."""
    from qingtiao.bundle import load_bundle

    predictor = load_bundle(bundle)
    refuse_what_holds_no_conversation(predictor)
    if sys.stdin.isatty():
        stderr.print(
            say(
                f"{NEW} 另起一段对话，{LEAVE} 或 Ctrl-D 离开，Ctrl-C 打断回答",
                f"{NEW} starts over, {LEAVE} or Ctrl-D leaves, Ctrl-C interrupts an answer",
            )
        )
    history: list[dict[str, str]] = []
    while (question := _heard()) is not None:
        if question == NEW:
            history = []
        elif question:
            asked = {"question": question, "history": history, "system": system}
            answer = _silent(predictor, asked) if as_json else _aloud(predictor, asked)
            history += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _heard() -> str | None:
    """The next line, None at the end. The prompt is for people alone: a pipe gets nothing but answers."""
    try:
        line = input("> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None
    return None if line == LEAVE else line


def _aloud(predictor: Predictor, asked: dict[str, Any]) -> str:
    """The answer, written as it grows; Ctrl-C stops the model and keeps what it has said."""
    said, notice = "", None
    with closing(predictor.speak(asked)) as answers:
        try:
            for answer in answers:
                sys.stdout.write(answer.text[len(said) :])
                sys.stdout.flush()
                said, notice = answer.text, answer.notice
        except KeyboardInterrupt:
            sys.stdout.write(" …")
    sys.stdout.write("\n")
    if notice:
        stderr.print(f"[yellow]{escape(notice)}[/]")
    return said


def _silent(predictor: Predictor, asked: dict[str, Any]) -> str:
    """One JSON object a line, for machines."""
    (answer,) = predictor.predict([asked])
    sys.stdout.write(json.dumps({"question": asked["question"], **answer.as_json()}, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    return str(answer.text)


def refuse_what_holds_no_conversation(predictor: Predictor) -> None:
    """Raises UserError for a task that is not asked with what was said before."""
    from qingtiao.serve.fields import holds_conversation

    if not holds_conversation(predictor.task):
        title = predictor.task.title
        raise UserError(
            f"这个 bundle 的任务是{title.zh}，不能对话",
            f"This bundle is for {title.en.lower()}, not for talking",
            todo_zh="用 qingtiao predict，或者用 --task chat 训练一个。",
            todo_en="Use qingtiao predict, or train one with --task chat.",
        )
