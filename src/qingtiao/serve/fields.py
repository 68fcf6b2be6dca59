"""What a person or a program is asked for, read off the task's `Input`: one list for the web form and for HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import PydanticUndefined

from qingtiao.errors import UserError
from qingtiao.language import say
from qingtiao.task import Task
from qingtiao.types import Row

UPLOADED = "data:"  # an image that travels inside the request; a path would be one on this machine


class FormField(NamedTuple):
    """One field. `widget` is `text`, `long`, `image` or `json`; `default` is None where the field must be given."""

    name: str
    zh: str
    en: str
    widget: str
    default: Any

    @property
    def title(self) -> str:
        return f"{self.zh} | {self.en}" if self.en else self.zh

    @property
    def here(self) -> str:
        return say(self.zh, self.en or self.zh)


def form_fields(task: type[Task] | Task) -> list[FormField]:
    """The fields of `task.Input`, in order. A field names its widget in `json_schema_extra`; text when it does not."""
    found = []
    for name, field in task.Input.model_fields.items():
        zh, _, en = (field.description or name).partition(" | ")
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, Mapping) else {}
        kind = field.annotation
        widget = str(extra.get("widget", "text" if kind is str or kind == (str | None) else "json"))
        default = None if field.default is PydanticUndefined else field.default
        found.append(FormField(name, zh, en, widget, default))
    return found


def holds_conversation(task: type[Task] | Task) -> bool:
    """Whether it is asked a question with what was said before."""
    return {"question", "history", "system"} <= task.Input.model_fields.keys()


def asked(task: Task, values: Sequence[Any]) -> dict[str, Any]:
    """What the boxes of a form hold, by field; a field left empty is left out where it need not be given.

    Raises:
        UserError: a box that holds JSON holds something else.
    """
    given: dict[str, Any] = {}
    for field, value in zip(form_fields(task), values, strict=True):
        if value in (None, ""):
            given |= {field.name: ""} if field.widget in ("text", "long") and field.default is None else {}
        elif field.widget == "json" and isinstance(value, str):
            given[field.name] = _json(field, value)
        else:
            given[field.name] = value
    return given


def _json(field: FormField, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{field.zh} 不是合法的 JSON：{error}",
            f"{field.en or field.name} is not JSON: {error}",
            todo_zh='例如 [{"role": "user", "content": "你好"}]',
            todo_en='For example [{"role": "user", "content": "hello"}]',
        ) from None


def only_uploads(task: Task, inputs: Sequence[Any]) -> list[Any]:
    """Inputs from elsewhere, with images inside them: a path would let a stranger read files of this machine.

    Raises:
        UserError: an image is named by anything but a data: URI.
    """
    first = form_fields(task)[0].name
    for number, one in enumerate(inputs, start=1):
        values = one if isinstance(one, Mapping) else {first: one}
        for name in _image_fields(task):
            if values.get(name) is not None and not _inside(values[name]):
                raise _not_inside(f"第 {number} 条", f"Input {number}", name)
    return list(inputs)


def only_uploaded_rows(task: Task, rows: Sequence[Row]) -> None:
    """`only_uploads` for the rows of a file from elsewhere; they keep their images' sources under the field's name.

    Raises:
        UserError: an image is not inside the file.
    """
    for row in rows:
        for name in _image_fields(task):
            if row.fields.get(name) and not _inside(row.fields[name]):
                raise _not_inside(f"第 {row.place.row} 行", f"Row {row.place.row}", name)


def _image_fields(task: Task) -> list[str]:
    return [field.name for field in form_fields(task) if field.widget == "image"]


def _inside(image: Any) -> bool:
    return str(image).startswith(UPLOADED)


def _not_inside(zh: str, en: str, name: str) -> UserError:
    return UserError(
        f"{zh}的 {name} 必须是 data: URI（图片随请求发送），不能是路径",
        f"{en}: {name} must be a data: URI that holds the image, never a path",
        todo_zh="把图片编码成 data:image/png;base64,……",
        todo_en="Encode the image as data:image/png;base64,...",
    )
