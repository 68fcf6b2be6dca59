"""`qingtiao predict`"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.progress import TextColumn as Words

from qingtiao.cli.options import AsJson, Bundle, Columns, Encoding, TextColumn, columns_of
from qingtiao.cli.output import print_json, stderr, stdout
from qingtiao.cli.sheets import tell_unread_sheets
from qingtiao.data.strict import finite
from qingtiao.errors import ConfigError
from qingtiao.language import say

if TYPE_CHECKING:
    from qingtiao.predict import Predictor


def predict(
    bundle: Bundle,
    texts: Annotated[list[str] | None, typer.Argument(help=say("要判断的文本", "texts"), metavar="TEXT…")] = None,
    source: Annotated[Path | None, typer.Option("--input", help=say("要判断的文件", "a file of texts"))] = None,
    target: Annotated[Path | None, typer.Option("--output", help=say("结果写到这里", "where answers go"))] = None,
    text_column: TextColumn = None,
    columns: Columns = None,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """判断文本，或者整个文件 | Classify texts, or a whole file."""
    if bool(texts) == (source is not None) or (source is None) != (target is None):
        raise ConfigError(
            "要么给出文本，要么同时给出 --input 和 --output",
            "Give either texts, or both --input and --output",
            todo_zh="例如 qingtiao predict BUNDLE 真好吃，或 --input 评论.csv --output 结果.csv",
            todo_en="For example qingtiao predict BUNDLE 真好吃, or --input comments.csv --output answers.csv",
        )
    if texts:
        _only_of_files({"--text-column": text_column, "--column": columns, "--encoding": encoding})
        _check_encoded(texts)
    named = {**({"text": text_column} if text_column else {}), **columns_of(columns)}
    from qingtiao.bundle import load_bundle

    predictor = load_bundle(bundle)
    if source is not None and target is not None:
        rows = _file(predictor, source, target, columns=named, encoding=encoding)
        if as_json:
            print_json({"rows": rows, "output": str(target)})
        else:
            stdout.print(say(f"{rows} 行，写入 {escape(str(target))}", f"{rows} rows written to {escape(str(target))}"))
    else:
        _texts(predictor, texts or [], as_json=as_json)


def _only_of_files(options: Mapping[str, Any]) -> None:
    given = [name for name, value in options.items() if value not in (None, [])]
    if given:
        raise ConfigError(
            f"{'、'.join(given)} 说的是 --input 的文件，这里给的是文本",
            f"{', '.join(given)} tells how to read the file of --input; here there are texts",
            todo_zh=f"去掉 {' '.join(given)}，或者把文本放进文件，用 --input 和 --output。",
            todo_en=f"Leave {' '.join(given)} out, or put the texts into a file and use --input and --output.",
        )


def _check_encoded(texts: Sequence[str]) -> None:
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ConfigError(
                f"要判断的文本不是 UTF-8：{text}",
                f"A text to classify is not UTF-8: {text}",
                todo_zh="把终端的编码改成 UTF-8，或者把文本放进文件，用 --input 和 --output。",
                todo_en="Set the terminal to UTF-8, or put the texts into a file and use --input and --output.",
            ) from None


def _texts(predictor: Predictor, texts: Sequence[str], *, as_json: bool) -> None:
    inputs = [_input(predictor, text) for text in texts]
    answers = predictor.predict(inputs)
    if as_json:
        first = next(iter(predictor.task.Input.model_fields))
        asked = [one if isinstance(one, dict) else {first: one} for one in inputs]
        told = [{**question, **answer.as_json()} for question, answer in zip(asked, answers, strict=True)]
        print_json(finite(told))
        return
    for text, answer in zip(texts, answers, strict=True):
        notice = f"  [yellow]{escape(answer.notice)}[/]" if answer.notice else ""
        stdout.print(f"[bold]{escape(answer.headline)}[/]  {escape(text)}{notice}")


def _input(predictor: Predictor, text: str) -> str | dict[str, Any]:
    """Where a task asks for more than one thing, a JSON object gives them by name."""
    if len(predictor.task.Input.model_fields) > 1 and text.lstrip().startswith("{"):
        try:
            given: dict[str, Any] = json.loads(text)
        except ValueError:
            return text
        return given
    return text


def _file(predictor: Predictor, source: Path, target: Path, *, columns: Mapping[str, str], encoding: str | None) -> int:
    from qingtiao.data.read import count_records
    from qingtiao.workflows.predict import predict_file

    tell_unread_sheets(str(source))
    shown = (Words("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        bar = progress.add_task(say("判断", "Classifying"), total=count_records(source))
        return predict_file(
            predictor,
            source,
            target,
            columns=columns,
            encoding=encoding,
            on_progress=lambda rows: progress.advance(bar, rows),
        )
