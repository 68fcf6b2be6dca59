"""Records with images as rows: which column is the picture, which its text, and what makes two rows alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qingtiao.data.columns import find_column, label_of, text_of
from qingtiao.errors import DataError
from qingtiao.types import Record, References, Row
from qingtiao.vision.files import digest, image_source, open_image, shown_name

_IMAGES = ("image", "图片", "图像", "照片", "photo", "picture", "img", "image_path", "pixels", "文件", "文件名", "file")
_TEXTS = ("text", "caption", "title", "description", "文本", "说明", "描述", "标题", "名称", "菜名", "dish", "name")
_QUESTIONS = ("question", "问题", "提问", "query", "prompt", "instruction", "指令")
_ANSWERS = ("answer", "回答", "答案", "output", "response", *_TEXTS)
_LABELS = ("label", "category", "标签", "类别", "分类", "class", "label_name")
_CANDIDATES = ("candidates", "choices", "候选", "选项")
_THUMBNAIL = 64  # enough of a JPEG to tell pictures apart


def paired_rows(records: Iterable[Record], *, columns: Mapping[str, str], captions_apart: bool) -> list[Row]:
    """Rows of an image, a text and, where the file has such a column, a label.

    `text` is the picture's name. `fields` holds its source under `image`, the text under `caption` and the label, None
    where there is none, under `label`. Every picture is opened once: damaged ones are found before training, and rows
    with the same one are alike; so are those with the same text if `captions_apart`, which no split then shares.

    Raises:
        DataError: a column is not found, or a row has no image or one that cannot be read.
    """
    rows: list[Row] = []
    names = _Names(columns)
    for record in records:
        image, text = names.of(record, "image", _IMAGES), names.of(record, "text", _TEXTS)
        label = names.optional(record, "label", [name for name in _LABELS if name not in (image, text)])
        source = image_source(record.fields.get(image), record.place)
        if not source:
            raise _no_image(record, image)
        caption = text_of(record, text).strip()
        looks = digest(open_image(source, record.place, at_least=_THUMBNAIL))
        told = {
            "image": source,
            "caption": caption,
            "label": label_of(record.fields.get(label)) or None if label else None,
        }
        alike = (looks, f"={caption}") if captions_apart and caption else (looks,)
        fields = {**_others(record, image, text, label), **told, "candidates": []}
        rows.append(Row(shown_name(source), References((caption,)), record.place, fields, alike=alike))
    return rows


def asked_rows(records: Iterable[Record], *, columns: Mapping[str, str]) -> list[Row]:
    """Rows of an image alone, not opened yet; `text` is its name. `fields["candidates"]` lists what it may be.

    Raises:
        DataError: there is no column of images, or a row offers a single candidate.
    """
    rows: list[Row] = []
    names = _Names(columns)
    for record in records:
        image = names.of(record, "image", _IMAGES)
        source = image_source(record.fields.get(image), record.place)
        offered = names.optional(record, "candidates", _CANDIDATES)
        told = {"image": source, "caption": None, "label": None}
        fields = {**_others(record, image, offered), **told, "candidates": _candidates(record, offered)}
        rows.append(Row(shown_name(source), None, record.place, fields))
    return rows


def answered_rows(records: Iterable[Record], *, columns: Mapping[str, str], question: str, labelled: bool) -> list[Row]:
    """Rows of an image, a question about it (`question` where there is none) and, if `labelled`, the answer.

    `text` is the picture's name and the question; empty without a picture. `fields` holds `image` and `question`. Of
    labelled rows every picture is opened once: damaged ones are found before training, and rows with the same one are
    alike.

    Raises:
        DataError: a column is not found, or a labelled row lacks its image, one that can be read, or its answer.
    """
    rows: list[Row] = []
    names = _Names(columns)
    for record in records:
        image, asked = names.of(record, "image", _IMAGES), names.optional(record, "question", _QUESTIONS)
        source = image_source(record.fields.get(image), record.place)
        answer = names.of(record, "answer", _ANSWERS) if labelled else None
        words = (text_of(record, asked).strip() if asked else "") or question
        fields = {**_others(record, image, asked, answer), "image": source, "question": words}
        target, alike = None, tuple[str, ...]()
        if answer is not None:
            target, alike = _taught(record, image, answer, source)
        text = f"{shown_name(source)} {words}" if source else ""
        rows.append(Row(text, target, record.place, fields, alike=alike))
    return rows


def _taught(record: Record, image: str, answer: str, source: str) -> tuple[References, tuple[str, ...]]:
    """The answer, and what tells the row's picture."""
    if not source:
        raise _no_image(record, image)
    said = text_of(record, answer).strip()
    if not said:
        raise DataError(
            f"{record.place} 没有回答（{answer} 列为空）",
            f"{record.place} has no answer ({answer} is empty)",
            todo_zh="补上回答，或者删掉这一行。",
            todo_en="Write the answer, or remove the row.",
        )
    return References((said,)), (digest(open_image(source, record.place, at_least=_THUMBNAIL)),)


class _Names:
    """Column names by role, looked up in the first record and kept."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self.named, self.found = named, dict[str, str | None]()

    def of(self, record: Record, role: str, usual: Sequence[str]) -> str:
        if self.found.get(role) is None:
            self.found[role] = find_column(
                list(record.fields),
                wanted=self.named.get(role),
                usual=usual,
                source=record.place.source,
                role=role,
                kind=_KINDS[role],
            )
        return str(self.found[role])

    def optional(self, record: Record, role: str, usual: Sequence[str]) -> str | None:
        """None where no column bears a usual name; one that is named must be there."""
        if role not in self.found:
            try:
                self.of(record, role, usual)
            except DataError:
                if role in self.named:
                    raise
                self.found[role] = None
        return self.found[role]


_KINDS = {
    "image": ("图片列", "image column"),
    "text": ("图片说明列", "caption column"),
    "label": ("标签列", "label column"),
    "question": ("问题列", "question column"),
    "answer": ("回答列", "answer column"),
    "candidates": ("候选列", "column of candidates"),
}


def _no_image(record: Record, column: str) -> DataError:
    return DataError(
        f"{record.place} 没有图片（{column} 列为空）",
        f"{record.place} has no image ({column} is empty)",
        todo_zh="补上图片，或者删掉这一行。",
        todo_en="Name an image, or remove the row.",
    )


def _candidates(record: Record, column: str | None) -> list[str]:
    """Texts of a list, or of a cell with one a line; equal ones once; none where there is no such column."""
    cell = record.fields.get(column) if column else None
    given = cell if isinstance(cell, list | tuple) else str(cell or "").splitlines()
    texts = list(dict.fromkeys(text for text in (str(one).strip() for one in given) if text))
    if len(texts) == 1:
        raise DataError(
            f"{record.place} 只有一个候选：{texts[0]}",
            f"{record.place} offers a single candidate: {texts[0]}",
            todo_zh="至少给两个，一行一个；不给就从训练时的标签里选。",
            todo_en="Give two or more, one a line; or none, to choose among the trained labels.",
        )
    return texts


def _others(record: Record, *used: str | None) -> dict[str, Any]:
    """The remaining columns, but pictures, which are no JSON."""
    return {
        name: value
        for name, value in record.fields.items()
        if name not in used and isinstance(value, str | int | float | bool | list | None)
    }
