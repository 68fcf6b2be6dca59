"""`qingtiao app`"""

from __future__ import annotations

from typing import Annotated

import typer

from qingtiao.cli.options import Bundle
from qingtiao.language import say


def app(
    bundle: Bundle,
    host: Annotated[str, typer.Option("--host", help=say("监听地址", "address to listen on"))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help=say("端口", "port"))] = 7860,
    open_browser: Annotated[bool, typer.Option("--open", help=say("顺便打开浏览器", "open a browser too"))] = False,
) -> None:
    """打开网页 | Open the web page."""
    from qingtiao.bundle import load_bundle
    from qingtiao.serve.app import run_app

    run_app(load_bundle(bundle), host=host, port=port, open_browser=open_browser)
