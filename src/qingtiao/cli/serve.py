"""`qingtiao serve`"""

from __future__ import annotations

from typing import Annotated

import typer

from qingtiao.cli.options import Bundle
from qingtiao.cli.output import stderr
from qingtiao.language import say


def serve(
    bundle: Bundle,
    host: Annotated[str, typer.Option("--host", help=say("监听地址", "address to listen on"))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help=say("端口", "port"))] = 8000,
) -> None:
    """用 HTTP 提供预测 | Answer over HTTP."""
    from qingtiao.bundle import load_bundle
    from qingtiao.serve.api import run_api
    from qingtiao.serve.app import require_port

    require_port(host, port)
    predictor = load_bundle(bundle)
    stderr.print(say(f"HTTP：http://{host}:{port}/predict  按 Ctrl-C 停止", f"HTTP: http://{host}:{port}/predict"))
    run_api(predictor, host=host, port=port)
