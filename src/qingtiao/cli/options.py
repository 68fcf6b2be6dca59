"""Options that several verbs share, written once. Field texts come from the config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qingtiao.config import BaseConfig, DataConfig, Settings, TrainConfig
from qingtiao.language import say


def described(kind: type[Settings], field: str) -> str:
    """The reader's half of a field's `中文 | English` description."""
    zh, _, en = (kind.model_fields[field].description or "").partition(" | ")
    return say(zh, en)


AsJson = Annotated[bool, typer.Option("--json", help=say("输出 JSON，给程序读", "print JSON, for machines"))]
TextColumn = Annotated[str | None, typer.Option("--text-column", help=described(DataConfig, "text_column"))]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help=described(DataConfig, "label_column"))]
Encoding = Annotated[str | None, typer.Option("--encoding", help=described(DataConfig, "encoding"))]
Dev = Annotated[str | None, typer.Option("--dev", help=described(DataConfig, "dev"))]
Test = Annotated[str | None, typer.Option("--test", help=described(DataConfig, "test"))]
Base = Annotated[str | None, typer.Option("--base", help=described(BaseConfig, "name"))]
Sample = Annotated[int | None, typer.Option("--sample", help=described(DataConfig, "sample"))]
Seed = Annotated[int | None, typer.Option("--seed", help=described(TrainConfig, "seed"))]
Bundle = Annotated[Path, typer.Argument(help=say("bundle 目录", "the bundle folder"), metavar="BUNDLE")]
