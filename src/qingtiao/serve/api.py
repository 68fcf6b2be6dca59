"""Predictions over HTTP: one route that answers, its shape made of the task's own `Input`.

`POST /predict` takes `{"inputs": [...]}`, each a string or an object with the fields of the task, and gives
`{"answers": [...]}` in the same order; an image travels inside it, as a data: URI. `POST /speak` takes the same with
one input, and gives server-sent events: the answer each time it has grown, and the whole of it once more in an event
named `end`. `GET /schema` tells both shapes; `GET /health` that the model is loaded.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from qingtiao.errors import EnvironmentLack, QingtiaoError, UserError
from qingtiao.predict import Predictor
from qingtiao.serve.fields import form_fields, only_uploads
from qingtiao.serve.limits import BodyLimit

if TYPE_CHECKING:
    from fastapi import FastAPI

MOST_INPUTS = 256
LARGEST_REQUEST = 32 * 2**20  # bytes; images travel inside it in base64


def build_api(predictor: Predictor) -> FastAPI:
    """The application, not yet served.

    Raises:
        EnvironmentLack: FastAPI is not installed.
    """
    _require_fastapi()
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, StreamingResponse
    from starlette.exceptions import HTTPException

    api = FastAPI(title="轻调 Qingtiao", description=_described(predictor), docs_url=None, redoc_url=None)
    api.add_middleware(BodyLimit, most=LARGEST_REQUEST)
    # A fast tokenizer keeps how it cuts in itself, so one request at a time may use it.
    lock = threading.Lock()

    def refusal(error: QingtiaoError, status: int) -> JSONResponse:
        said = {"zh": error.zh, "en": error.en, "todo_zh": error.todo_zh, "todo_en": error.todo_en}
        return JSONResponse({"error": {"kind": type(error).__name__, **said}}, status_code=status)

    @api.exception_handler(QingtiaoError)
    def told(_: Request, error: QingtiaoError) -> JSONResponse:
        return refusal(error, 422 if isinstance(error, UserError) else 500)

    @api.exception_handler(RequestValidationError)
    def not_json(_: Request, __: RequestValidationError) -> JSONResponse:
        return refusal(_misshapen(), 422)

    @api.exception_handler(HTTPException)
    def elsewhere(request: Request, error: HTTPException) -> JSONResponse:
        asked = f"{request.method} {request.url.path}"
        return refusal(_not_served(asked, str(error.detail)), error.status_code)

    @api.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "task": predictor.task.title.en}

    @api.get("/schema")
    def schema() -> dict[str, Any]:
        return request_schema(predictor)

    @api.post("/predict")
    def predict(body: dict[str, Any]) -> dict[str, Any]:
        inputs = _inputs(predictor, body)
        with lock:
            return {"answers": [answer.as_json() for answer in predictor.predict(inputs)]}

    @api.post("/speak")
    def speak(body: dict[str, Any]) -> StreamingResponse:
        answers = _spoken(predictor, _inputs(predictor, body, least=1, most=1)[0], lock)
        # What is wrong with the input comes to light here, while it can still be told with a status.
        first = next(answers)
        return StreamingResponse(_events(first, answers), media_type="text/event-stream")

    return api


def _spoken(predictor: Predictor, one: Any, lock: threading.Lock) -> Iterator[dict[str, Any]]:
    """The answer as it grows. Closed, as when a client hangs up, it stops the model and frees the lock."""
    with lock, closing(predictor.speak(one)) as answers:
        for answer in answers:
            yield answer.as_json()


def _events(first: dict[str, Any], following: Iterator[dict[str, Any]]) -> Iterator[str]:
    event = ""
    for answer in chain([first], following):
        event = f"data: {json.dumps(answer, ensure_ascii=False)}\n\n"
        yield event
    yield f"event: end\n{event}"


def request_schema(predictor: Predictor) -> dict[str, Any]:
    """JSON schema of a request's body; `title` and `labels` say what the model is for."""
    one = predictor.task.Input.model_json_schema()
    inputs = {"type": "array", "maxItems": MOST_INPUTS, "items": {"anyOf": [{"type": "string"}, one]}}
    return {
        "title": predictor.task.title._asdict(),
        "labels": list(predictor.labels),
        "request": {"type": "object", "required": ["inputs"], "properties": {"inputs": inputs}},
    }


def run_api(predictor: Predictor, *, host: str, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        EnvironmentLack: FastAPI or uvicorn is not installed.
    """
    api = build_api(predictor)
    import uvicorn

    uvicorn.run(api, host=host, port=port, log_level="warning")


def _inputs(predictor: Predictor, body: dict[str, Any], *, least: int = 0, most: int = MOST_INPUTS) -> list[Any]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, str | dict) for one in inputs) or len(body) != 1:
        raise _misshapen()
    if not least <= len(inputs) <= most:
        raise UserError(
            f"一次 {least} 到 {most} 条，这次有 {len(inputs)} 条",
            f"{least} to {most} inputs a request; these are {len(inputs)}",
            todo_zh="分几次发，或者用 qingtiao predict --input 处理整个文件。",
            todo_en="Send several requests, or use qingtiao predict --input for a whole file.",
        )
    return only_uploads(predictor.task, inputs)


def _misshapen() -> UserError:
    return UserError(
        '请求应当是 {"inputs": [...]}，每一项是文本或对象',
        'The request must be {"inputs": [...]}, each item a string or an object',
        todo_zh="形状见 GET /schema。",
        todo_en="GET /schema tells the shape.",
    )


def _not_served(asked: str, reason: str) -> UserError:
    return UserError(
        f"答不了 {asked}（{reason}）",
        f"{asked} cannot be answered ({reason})",
        todo_zh="能用的是 POST /predict、POST /speak、GET /schema 和 GET /health，内容是 JSON。",
        todo_en="There are POST /predict, POST /speak, GET /schema and GET /health, which speak JSON.",
    )


def _described(predictor: Predictor) -> str:
    title, fields = predictor.task.title, ", ".join(field.name for field in form_fields(predictor.task))
    return f"{title.zh} {title.en}: {fields}"


def _require_fastapi() -> None:
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentLack(
            f"没有装 {'、'.join(missing)}，开不了 HTTP 服务",
            f"{' and '.join(missing)} not installed, so there is no HTTP service",
            todo_zh='运行 pip install "qingtiao[serve]" 再试。',
            todo_en='Run pip install "qingtiao[serve]" and try again.',
        )
