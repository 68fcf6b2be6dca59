"""The page itself, in Gradio. Everything a visitor hands over is data: shown as text, never as markup."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from qingtiao.errors import QingtiaoError
from qingtiao.predict import Predictor
from qingtiao.serve.answers import FileAnswer, answer_file, decorated
from qingtiao.serve.fields import UPLOADED, FormField, asked, form_fields, holds_conversation
from qingtiao.serve.shown import shown_as
from qingtiao.task import Speaking
from qingtiao.vision.files import open_image

TITLE = "轻调 Qingtiao"
CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
.qt-title { font-size: 1.6rem; font-weight: 700; margin: 0; }
.qt-hint { color: var(--body-text-color-subdued); margin: .3rem 0 0; }
.qt-notice { padding: .6rem .9rem; border-left: 4px solid #d97706; border-radius: 6px;
             background: color-mix(in srgb, #f59e0b 14%, transparent); }
/* Gradio writes its row count over its own bar. */
#qt-summary { min-height: 6rem; }
#qt-summary .progress-level { margin-top: 3rem; }
.qt-rows { font-size: 1.15rem; font-weight: 600; margin: 0; }
/* No width of its own, or a wide table would widen the whole page on a phone. */
.qt-wide { width: 0; min-width: 100%; overflow-x: auto; margin-top: .6rem; }
.qt-wide :is(table, tr) { border: 0 !important; }
.qt-wide table { border-collapse: collapse; width: 100%; margin: 0; }
.qt-wide caption { text-align: left; padding: .3rem 0; color: var(--body-text-color-subdued); }
.qt-wide :is(th, td) { text-align: left; padding: .4rem .7rem; min-width: 5rem; max-width: 24rem;
                       overflow-wrap: break-word; border: 0 !important;
                       border-bottom: 1px solid var(--border-color-primary) !important; }
footer .divider { display: none !important; }
"""

_FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".gz")
_MOST_LABELS = 10
_WAITING = 32
_HOUR = 3600
_PICTURE = 280  # pixels of height: a small picture would else shrink its own box
_PROGRESS = gr.Progress()  # Gradio finds this default in the signature and hands in a live one


def theme() -> Any:
    """Only fonts that the visitor's system has: Gradio's own choice would be fetched, and knows no Chinese."""
    system = ("system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")
    return gr.themes.Soft(primary_hue="emerald", font=system, font_mono=("ui-monospace", "Consolas", "monospace"))


def build_page(predictor: Predictor, examples: Sequence[Sequence[Any]]) -> Any:
    """The page; an example holds a value for each field of the task's form."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(_HOUR, 24 * _HOUR)) as page:
        gr.HTML(_head(predictor))
        with gr.Tab("一条 | One"):
            _one_tab(predictor, examples)
        if holds_conversation(predictor.task):
            with gr.Tab("对话 | Talk"):
                _talk_tab(predictor)
        with gr.Tab("一个文件 | A file"):
            _file_tab(predictor)
    # One text and one file at a time: a laptop gains nothing from more, and loses its answers' speed.
    page.queue(default_concurrency_limit=1, max_size=_WAITING)
    return page


def _head(predictor: Predictor) -> str:
    title = predictor.task.title
    labels = "、".join(predictor.labels[:_MOST_LABELS]) + ("……" if len(predictor.labels) > _MOST_LABELS else "")
    about = f"{title.zh} | {title.en} · {labels}"
    return f'<h1 class="qt-title">{TITLE}</h1><p class="qt-hint">{escape(about)}</p>'


def _one_tab(predictor: Predictor, examples: Sequence[Sequence[Any]]) -> None:
    shown = shown_as(predictor.task)

    def answer(*values: Any) -> tuple[Any, Any]:
        with errors_as_messages():
            given = asked(predictor.task, values)
            told = predictor.predict([given])[0]
            return shown.value(told, given), _notice(told.notice)

    def speak(*values: Any) -> Iterator[tuple[Any, Any]]:
        with errors_as_messages():
            given = asked(predictor.task, values)
            with closing(predictor.speak(given)) as answers:
                for told in answers:
                    yield shown.value(told, given), _notice(told.notice)

    # Gradio asks the function whether it is a generator, so that one cannot stand for both.
    function = speak if isinstance(predictor.task, Speaking) else answer
    fields = form_fields(predictor.task)
    with gr.Row():
        with gr.Column():
            boxes = [_box(field) for field in fields]
            button = gr.Button("回答 | Answer" if not predictor.labels else "判断 | Classify", variant="primary")
        with gr.Column():
            told = shown.component()
            notice = gr.HTML(visible=False)
    if examples:
        gr.Examples(
            [_clickable(fields, boxes, example) for example in examples],
            inputs=boxes,
            outputs=[told, notice],
            fn=function,
            run_on_click=True,
            cache_examples=False,
            preload=False,
            examples_per_page=len(examples),
            label="点一个试试 | Try one",
        )
    submits = [box.submit for field, box in zip(fields, boxes, strict=True) if field.widget == "text"]
    gr.on([button.click, *submits], function, inputs=boxes, outputs=[told, notice], api_name="predict")


def _talk_tab(predictor: Predictor) -> None:
    def talk(question: str, said: list[dict[str, str]], system: str) -> Iterator[tuple[Any, ...]]:
        with errors_as_messages():
            asking = {"role": "user", "content": question}
            with closing(predictor.speak({"question": question, "history": said, "system": system})) as answers:
                for told in answers:
                    heard = [*said, asking, {"role": "assistant", "content": told.text}]
                    # A blank question has no answer, and no place in what goes along with the next one.
                    yield "", heard if question.strip() else said, heard, _notice(told.notice)

    said = gr.State([])
    board = gr.Chatbot(
        label="对话 | Talk",
        height=420,
        render_markdown=False,
        allow_tags=False,
        feedback_options=None,
        buttons=["copy"],
    )
    question = gr.Textbox(label="问题 | Question", placeholder="按回车 | press Enter", lines=1, max_lines=8)
    notice = gr.HTML(visible=False)
    with gr.Row():
        button = gr.Button("说 | Say", variant="primary")
        stop = gr.Button("停 | Stop")
        new = gr.Button("另起 | New")
    system = gr.Textbox(label="系统提示（可不填）| System prompt (optional)", lines=1, max_lines=4)
    saying = gr.on(
        [button.click, question.submit],
        talk,
        inputs=[question, said, system],
        outputs=[question, said, board, notice],
        api_visibility="private",
    )
    stop.click(None, cancels=[saying], api_visibility="private")
    new.click(
        lambda: ([], [], _notice(None)), outputs=[said, board, notice], cancels=[saying], api_visibility="private"
    )


def _box(field: FormField) -> Any:
    # Enter submits only in a box that starts with one line.
    hint = "按回车 | press Enter"
    if field.widget == "image":
        # The file as it is (no mode): turning and converting it is ours, and so are the errors.
        return gr.Image(label=field.title, type="filepath", image_mode=None, sources=["upload"], height=_PICTURE)
    if field.widget == "text":
        return gr.Textbox(label=field.title, placeholder=hint, lines=1, max_lines=8)
    return gr.Textbox(label=field.title, lines=3, max_lines=20)


def _clickable(fields: Sequence[FormField], boxes: Sequence[Any], example: Sequence[Any]) -> list[Any]:
    """The example's values; a picture inside one becomes a file, which is all that Gradio shows."""
    values = []
    for field, box, value in zip(fields, boxes, example, strict=True):
        if field.widget == "image" and isinstance(value, str) and value.startswith(UPLOADED):
            path = _new_folder(box) / "example.png"
            open_image(value, "example").save(path)
            values.append(str(path))
        else:
            values.append(value)
    return values


def _file_tab(predictor: Predictor) -> None:
    # A tokenizer keeps how it cuts in itself, so two threads must not share one.
    predictor = replace(predictor, tokenizer=copy.deepcopy(predictor.tokenizer))

    def answer_uploaded(upload: str | None, column: str | None, progress: Any = _PROGRESS) -> list[Any]:
        with errors_as_messages(upload):
            if not upload:
                raise gr.Error("先选一个文件 | Choose a file first", print_exception=False)
            answer = answer_file(
                predictor,
                Path(upload),
                _new_folder(download),
                text_column=(column or "").strip() or None,
                on_progress=lambda done, total: progress((done, total), desc="处理 | Answering", unit="行 rows"),
            )
            return _file_shown(answer)

    with gr.Row():
        with gr.Column():
            upload = gr.File(label="文件 | File: csv, tsv, json, jsonl, parquet, xlsx (.gz)", file_types=[*_FORMATS])
            column = gr.Textbox(
                label="文本列（可不填）| Text column (optional)",
                placeholder="按名字自动找 | found by name",
                max_lines=1,
            )
            button = gr.Button("处理整个文件 | Answer the file", variant="primary")
        with gr.Column():
            summary = gr.HTML('<p class="qt-hint">结果会出现在这里 | Answers appear here</p>', elem_id="qt-summary")
            download = gr.DownloadButton("下载结果 | Download", variant="primary", visible=False)
    preview = gr.HTML(visible=False)
    shown = [summary, download, preview]
    gr.on([button.click, upload.change], _nothing_shown, outputs=shown, api_visibility="private", queue=False)
    button.click(
        answer_uploaded, inputs=[upload, column], outputs=shown, show_progress_on=summary, api_name="predict_file"
    )


def _new_folder(component: Any) -> Path:
    """A folder of its own where Gradio serves files from without a copy, and clears them away."""
    root = Path(component.GRADIO_CACHE)
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="answers-", dir=root))


def _file_shown(answer: FileAnswer) -> list[Any]:
    counts = [(decorated(label), str(rows), f"{rows / answer.rows:.1%}") for label, rows in answer.counts]
    heading = f'<p class="qt-rows">共 {answer.rows} 行 | {answer.rows} rows</p>'
    return [
        heading + (_table("", ("标签 | Label", "行数 | Rows", "占比 | Share"), counts) if counts else ""),
        gr.DownloadButton(value=str(answer.path), visible=True),
        gr.HTML(_table("前几行 | First rows", answer.header, answer.preview), visible=True),
    ]


def _nothing_shown() -> list[Any]:
    return ["", gr.DownloadButton(visible=False), gr.HTML(visible=False)]


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table. Unlike Gradio's own it keeps to the width of a phone."""
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f'<div class="qt-wide"><table><caption>{caption}</caption><tr>{head}</tr>{body}</table></div>'


def _notice(text: str | None) -> Any:
    return gr.HTML(f'<div class="qt-notice">{escape(text or "")}</div>', visible=bool(text))


@contextmanager
def errors_as_messages(upload: str | None = None) -> Iterator[None]:
    """What a visitor can mend is told in both languages; a fault of ours is told of, and its traceback stays here.

    Args:
        upload: the path of a file the visitor gave; they know it by its name alone.

    Raises:
        gradio.Error: in place of every other exception. Its message is HTML.
    """
    try:
        yield
    except gr.Error:
        raise
    except QingtiaoError as error:
        folder = f"{Path(upload).parent}{os.sep}" if upload else ""
        raise gr.Error(_told(error, hidden=folder), duration=None, print_exception=False) from error
    except Exception as error:
        raise gr.Error(
            "轻调自己出了错，详情在启动它的终端里。<br>"
            "A fault of Qingtiao's own: the terminal that runs it has the details.",
            duration=None,
        ) from error


def _told(error: QingtiaoError, *, hidden: str) -> str:
    lines = (error.zh, f"→ {error.todo_zh}", error.en, f"→ {error.todo_en}")
    shown = (line.replace(hidden, "") if hidden else line for line in lines)
    return "<br>".join(escape(line).replace("\n", "<br>") for line in shown)
