"""Options that several verbs share, written once. Field texts come from the config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qingtiao.config import AdapterConfig, BaseConfig, DataConfig, RunConfig, Settings, TrainConfig
from qingtiao.errors import ConfigError
from qingtiao.language import say


def described(kind: type[Settings], field: str) -> str:
    """The reader's half of a field's `中文 | English` description."""
    zh, _, en = (kind.model_fields[field].description or "").partition(" | ")
    return say(zh, en)


def columns_of(items: list[str] | None) -> dict[str, str]:
    """`["text_b=句子2"]` as a mapping.

    Raises:
        ConfigError: an item without `=`.
    """
    for item in items or []:
        if not all(item.partition("=")):
            raise ConfigError(
                f"--column {item} 不是 角色=列名 的形式",
                f"--column {item} is not of the form role=column",
                todo_zh="例如 --column text_b=句子2",
                todo_en="For example --column text_b=sentence2",
            )
    return dict(item.split("=", 1) for item in items or [])


AsJson = Annotated[bool, typer.Option("--json", help=say("输出 JSON，给程序读", "print JSON, for machines"))]
TextColumn = Annotated[str | None, typer.Option("--text-column", help=described(DataConfig, "text_column"))]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help=described(DataConfig, "label_column"))]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="ROLE=COLUMN", help=described(DataConfig, "columns"), show_default=False),
]
TaskName = Annotated[str | None, typer.Option("--task", help=described(RunConfig, "task"))]
Encoding = Annotated[str | None, typer.Option("--encoding", help=described(DataConfig, "encoding"))]
Dev = Annotated[str | None, typer.Option("--dev", help=described(DataConfig, "dev"))]
Test = Annotated[str | None, typer.Option("--test", help=described(DataConfig, "test"))]
Base = Annotated[str | None, typer.Option("--base", help=described(BaseConfig, "name"))]
Quantized = Annotated[
    str | None, typer.Option("--quantize", metavar="8bit|4bit", help=described(BaseConfig, "quantize"))
]
Method = Annotated[str | None, typer.Option("--method", help=described(AdapterConfig, "method"))]
Sample = Annotated[int | None, typer.Option("--sample", help=described(DataConfig, "sample"))]
Seed = Annotated[int | None, typer.Option("--seed", help=described(TrainConfig, "seed"))]
Bundle = Annotated[Path, typer.Argument(help=say("bundle 目录", "the bundle folder"), metavar="BUNDLE")]
