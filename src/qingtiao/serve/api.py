"""Predictions over HTTP: one route that answers, its shape made of the task's own `Input`.

`POST /predict` takes `{"inputs": [...]}`, each a string or an object with the fields of the task, and gives
`{"answers": [...]}` in the same order; an image travels inside it, as a data: URI. `GET /schema` tells both shapes;
`GET /health` that the model is loaded.
"""

from __future__ import annotations

import importlib.util
import threading
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
    from fastapi.responses import JSONResponse

    api = FastAPI(title="轻调 Qingtiao", description=_described(predictor), docs_url=None, redoc_url=None)
    api.add_middleware(BodyLimit, most=LARGEST_REQUEST)
    # A fast tokenizer keeps how it cuts in itself, so one request at a time may use it.
    lock = threading.Lock()

    @api.exception_handler(QingtiaoError)
    def told(_: Request, error: QingtiaoError) -> JSONResponse:
        status = 422 if isinstance(error, UserError) else 500
        said = {"zh": error.zh, "en": error.en, "todo_zh": error.todo_zh, "todo_en": error.todo_en}
        return JSONResponse({"error": {"kind": type(error).__name__, **said}}, status_code=status)

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

    return api


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


def _inputs(predictor: Predictor, body: dict[str, Any]) -> list[Any]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, str | dict) for one in inputs) or len(body) != 1:
        raise UserError(
            '请求应当是 {"inputs": [...]}，每一项是文本或对象',
            'The request must be {"inputs": [...]}, each item a string or an object',
            todo_zh="形状见 GET /schema。",
            todo_en="GET /schema tells the shape.",
        )
    if len(inputs) > MOST_INPUTS:
        raise UserError(
            f"一次最多 {MOST_INPUTS} 条，这次有 {len(inputs)} 条",
            f"At most {MOST_INPUTS} inputs a request; these are {len(inputs)}",
            todo_zh="分几次发，或者用 qingtiao predict --input 处理整个文件。",
            todo_en="Send several requests, or use qingtiao predict --input for a whole file.",
        )
    return only_uploads(predictor.task, inputs)


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
