"""`qingtiao merge`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from qingtiao.cli.options import AsJson, Bundle
from qingtiao.cli.output import print_json, stderr, stdout
from qingtiao.language import say


def merge(
    bundle: Bundle,
    out: Annotated[Path, typer.Option("--out", help=say("合并后的模型放哪里", "where the merged model goes"))],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help=say("在哪些行上比较；不给就用任务自带的样例", "rows to compare on; the samples when absent")
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """把适配器合并进基座，写成一个普通模型 | Merge the adapter into its base, as a plain model."""
    from qingtiao.workflows.merge import merge as run

    with stderr.status(say("合并并核对……", "Merging and comparing…")):
        merged = run(bundle, out, data=data)
    if as_json:
        print_json(asdict(merged))
        return
    difference, size = f"{merged.max_abs_logit_difference:.1e}", f"{merged.bytes / 2**20:,.1f} MiB"
    stdout.print(f"{say('合并后的模型', 'Merged model')}  {escape(merged.folder)}  float32, {size}")
    stdout.print(
        say(
            f"在 {merged.rows} 行上与没合并的比，logits 最大差 {difference}",
            f"On {merged.rows} rows its logits differ from those of the unmerged model by {difference} at the most",
        )
    )
    if merged.quantize != "none":
        stdout.print(
            say(
                f"训练时基座量化成 {merged.quantize}；合并用的是反量化后的权重，没有再量化。",
                f"The base was trained on in {merged.quantize}; what was merged are its dequantised weights, not "
                "quantised again.",
            )
        )
