"""`qingtiao evaluate`"""

from __future__ import annotations

from typing import Annotated

import typer

from qingtiao.cli.options import AsJson, Bundle, Columns, Encoding, LabelColumn, TextColumn, columns_of
from qingtiao.cli.output import print_json, scores_line, stderr, stdout
from qingtiao.cli.sheets import tell_unread_sheets
from qingtiao.config import DataConfig, parse
from qingtiao.language import say


def evaluate(
    bundle: Bundle,
    data: Annotated[str, typer.Argument(help=say("带标签的数据", "labelled data"), metavar="DATA")],
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    columns: Columns = None,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """在带标签的数据上给 bundle 打分 | Score a bundle on labelled data."""
    from qingtiao.bundle import read_manifest
    from qingtiao.task import find_task
    from qingtiao.workflows.evaluate import evaluate as run

    settings = parse(
        DataConfig,
        {
            "train": data,
            "text_column": text_column,
            "label_column": label_column,
            "columns": columns_of(columns),
            "encoding": encoding,
        },
    )
    tell_unread_sheets(data)
    with stderr.status(say("评测中……", "Evaluating…")):
        block = run(bundle, settings)
    if as_json:
        print_json(block)
    else:
        measures = {one.name: one.as_json() for one in find_task(read_manifest(bundle).task).measures}
        stdout.print(scores_line(say("适配器", "adapter"), block, measures))
