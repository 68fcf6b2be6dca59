"""The web page: built, and served on this machine only unless asked otherwise. It never needs the network."""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from qingtiao.errors import EnvironmentLack, UserError
from qingtiao.language import say
from qingtiao.predict import Predictor
from qingtiao.serve.answers import sample_inputs

if TYPE_CHECKING:
    import gradio as gr

LARGEST_UPLOAD = "200mb"
# Gradio calls itself over HTTP when it starts, which a proxy would send astray; a SOCKS one fails its very import.
_NO_PROXY = {"no_proxy": "*", "NO_PROXY": "*"}


def build_app(predictor: Predictor, *, examples: Sequence[Sequence[Any]] | None = None) -> gr.Blocks:
    """The page, not yet served.

    Args:
        examples: inputs to click on, a value for each field of the task's form; its own when absent, none when empty.

    Raises:
        EnvironmentLack: Gradio is not installed.
    """
    _require_gradio()
    with _environment(_NO_PROXY):
        from qingtiao.serve.page import build_page
    return build_page(predictor, sample_inputs(predictor.task) if examples is None else examples)


def run_app(predictor: Predictor, *, host: str = "127.0.0.1", port: int = 7860, open_browser: bool = False) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        EnvironmentLack: Gradio is not installed.
        UserError: the port is taken or forbidden, or the host is not an address of this machine.
    """
    with suppress(KeyboardInterrupt), serving(predictor, host=host, port=port, open_browser=open_browser) as url:
        print(say(f"网页：{url}  按 Ctrl-C 停止", f"The page: {url}  Ctrl-C stops it"), flush=True)
        if not is_loopback(host):
            print(_open_to_all(), file=sys.stderr, flush=True)
        _wait()


@contextmanager
def serving(
    predictor: Predictor, *, host: str = "127.0.0.1", port: int = 7860, open_browser: bool = False
) -> Iterator[str]:
    """The page is served while the block runs; gives its address. Uploads and answers vanish with it.

    Raises: see `run_app`.
    """
    _require_gradio()
    require_port(host, port)
    # Gradio's usual folder, /tmp/gradio, may belong to somebody else.
    with (
        tempfile.TemporaryDirectory(prefix="qingtiao-app-", ignore_cleanup_errors=True) as folder,
        _environment({"GRADIO_TEMP_DIR": folder, **_NO_PROXY}),
    ):
        page = build_app(predictor)
        try:
            yield _launch(page, host=host, port=port, open_browser=open_browser)
        finally:
            page.close(verbose=False)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _wait() -> None:
    while True:  # in short naps: Windows hears no Ctrl-C inside a long one
        time.sleep(1)


def _launch(page: gr.Blocks, *, host: str, port: int, open_browser: bool) -> str:
    from qingtiao.serve.page import CSS, theme

    _, url, _ = page.launch(
        server_name=f"[{host}]" if ":" in host and not host.startswith("[") else host,
        server_port=port,
        inbrowser=open_browser,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        theme=theme(),
        css=CSS,
    )
    return str(url)


def _require_gradio() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise EnvironmentLack(
            "没有装 Gradio，打不开网页",
            "Gradio is not installed, so there is no web page",
            todo_zh='运行 pip install "qingtiao[app]" 再试；只在命令行里用 qingtiao predict 则不需要它。',
            todo_en='Run pip install "qingtiao[app]" and try again; qingtiao predict works without it.',
        )


def require_port(host: str, port: int) -> None:
    """Gradio itself says only that no port was found in a range of one."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if os.name != "nt":  # there the option would allow what it is to find out
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _no_port(host, port, error) from error


def _no_port(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"端口 {port} 已被占用",
            f"Port {port} is taken",
            todo_zh=f"换一个端口，例如 --port {port + 1}；或者先停掉占用它的程序。",
            todo_en=f"Use another port, for example --port {port + 1}, or stop the program that holds it.",
        )
    if error.errno == errno.EACCES:
        return UserError(
            f"没有权限使用端口 {port}",
            f"Port {port} may not be used without privileges",
            todo_zh="用 1024 以上的端口，例如 --port 7860。",
            todo_en="Use a port above 1024, for example --port 7860.",
        )
    return UserError(
        f"不能在 {host} 上监听：{error.strerror}",
        f"Cannot listen on {host}: {error.strerror}",
        todo_zh="--host 用 127.0.0.1（只本机可用）、0.0.0.0（局域网可用）或本机的地址。",
        todo_en="Give --host 127.0.0.1 (this machine), 0.0.0.0 (the network) or an address of this machine.",
    )


def _open_to_all() -> str:
    return say(
        "注意：网络里的任何人都能打开这个网页、上传文件，没有密码。只给自己用的话去掉 --host。",
        "Warning: anyone in the network can open this page and upload files; there is no password. "
        "Leave --host out to keep it to this machine.",
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
