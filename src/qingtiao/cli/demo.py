"""`qingtiao demo`"""

from __future__ import annotations

from typing import Annotated

import typer

from qingtiao.cli.options import AsJson
from qingtiao.cli.output import percent, print_json, stdout
from qingtiao.cli.progress import follow
from qingtiao.cli.train import show_result
from qingtiao.language import say

TEXTS = ("这家餐馆的菜太难吃了！", "这个模型真棒！", "辣鸡项目")


def demo(
    out: Annotated[str, typer.Option("--out", help=say("输出目录", "output folder"))] = "runs/demo",
    as_json: AsJson = False,
) -> None:
    """用自带的数据和基座走完全程 | The whole way on the embedded data and base, with no network."""
    from qingtiao.bundle import load_bundle
    from qingtiao.config import DataConfig, RunConfig
    from qingtiao.workflows.train import train

    config = RunConfig(data=DataConfig(train="embedded:reviews"), out=out)
    result = follow(train(config, overwrite=True), out=out, quiet=as_json)
    answers = load_bundle(result.bundle).predict(TEXTS)
    if as_json:
        told = [
            {"text": t, "label": a.label, "probabilities": dict(a.probabilities)}
            for t, a in zip(TEXTS, answers, strict=True)
        ]
        print_json({**result.report.as_json(), "answers": told})
        return
    show_result(result)
    stdout.print()
    for text, answer in zip(TEXTS, answers, strict=True):
        stdout.print(f"  {text}  →  [bold]{answer.label}[/] {percent(answer.confidence)}")
    stdout.print(say(f"\n打开网页：qingtiao app {result.bundle}", f"\nOpen the web page: qingtiao app {result.bundle}"))
