"""Marked pieces of texts as they stand in files: token and tag lists, or lists of offsets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from qingtiao.data.columns import find_column, text_of
from qingtiao.errors import DataError
from qingtiao.types import Place, Record, Row

_TEXT = ("text", "sentence", "content", "文本", "句子", "内容", "正文", "原文", "raw", "abstract", "摘要")
_TOKENS = ("tokens", "words", "chars", "characters", "token", "字", "词", "字符", "分词")
_TAGS = ("tags", "ner_tags", "labels", "bio", "tag", "label", "标签", "标注", "标记")
_ENTITIES = ("entities", "spans", "ner", "annotations", "label", "labels", "entity", "实体", "标注", "标签")
_START, _END = ("start", "start_offset", "begin", "起"), ("end", "end_offset", "stop", "止")
_LABEL = ("label", "type", "entity_group", "tag", "entity", "类型", "标签")
# B begins, I M go on, E L end, S U stand alone: BIO, BIOES, BMES and BILOU under one roof.
_PREFIXES = "BIMELSU"
_UNNAMED = "SPAN"  # tags of one kind may be bare B and I


class Mark(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, what they are, and how they read. A list once in JSON."""

    start: int
    end: int
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.text}/{self.label}"


def marks_of(row: Row) -> tuple[Mark, ...]:
    """The target of a row that `read_marked` made, also after a way through JSON."""
    return tuple(Mark(*mark) for mark in row.target or ())


def read_marked(records: Iterable[Record], *, columns: Mapping[str, str], labelled: bool) -> list[Row]:
    """Records as rows whose targets are tuples of `Mark`, in order and apart.

    Two shapes, told by the columns of the first record: a text with `entities` (or one tag a character), or `tokens`
    with one tag each, which are joined to the text.

    Raises:
        DataError: a column is missing, or marks do not fit the text; with the place.
    """
    records = list(records)
    if not records:
        return []
    names, source = list(records[0].fields), records[0].place.source
    tokens = _optional(names, columns, "tokens", _TOKENS) if "text" not in columns else None
    if tokens is None:
        text = find_column(
            names, wanted=columns.get("text"), usual=_TEXT, source=source, role="text", kind=("文本列", "text column")
        )
        if not labelled:
            return [Row(text_of(record, text), None, record.place) for record in records]
        target = _marks_column(names, columns, (("entities", _ENTITIES), ("tags", _TAGS)), source)
        return [_from_text(record, text_of(record, text), record.fields.get(target)) for record in records]
    if not labelled:
        return [Row("".join(_joinable(_tokens(record, tokens))), None, record.place) for record in records]
    tags = _marks_column(names, columns, (("tags", _TAGS),), source)
    return [_from_tokens(record, _tokens(record, tokens), record.fields.get(tags)) for record in records]


def spans_of_tags(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Tags of any of the usual schemes as (start, end, label), in the way of conlleval and seqeval.

    What goes on without having begun begins here. Bare labels (`PER PER O`) are read as inside tags.
    """
    found: list[tuple[int, int, str]] = []
    start, label = -1, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, name = _split(tag)
        if start >= 0 and (prefix in "OBSU" or name != label):
            found.append((start, index, label))
            start = -1
        if prefix != "O" and start < 0:
            start, label = index, name
        if start >= 0 and prefix in "ELSU":
            found.append((start, index + 1, label))
            start = -1
    return found


def _split(tag: str) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    if tag[0] in _PREFIXES and len(tag) > 2 and tag[1] in "-_":
        return tag[0], tag[2:]
    return (tag, _UNNAMED) if len(tag) == 1 and tag in _PREFIXES else ("I", tag)


def _optional(names: Sequence[str], columns: Mapping[str, str], role: str, usual: Sequence[str]) -> str | None:
    """The column of `role` if it was named or stands under a usual name."""
    if role in columns:
        return find_column(names, wanted=columns[role], usual=(), source="", role=role, kind=(f"{role} 列", role))
    plain = {name.strip().lower(): name for name in names}
    return next((plain[name] for name in usual if name in plain), None)


def _marks_column(
    names: Sequence[str], columns: Mapping[str, str], roles: Sequence[tuple[str, Sequence[str]]], source: str
) -> str:
    """The column of the first role that is there; `label` is the general name of what is to be learnt."""
    named = [role for role in (*(role for role, _ in roles), "label") if role in columns]
    found = _optional(names, columns, named[0], ()) if named else None
    for role, usual in roles:
        found = found or _optional(names, columns, role, usual)
    if found is not None:
        return found
    raise DataError(
        f"{source} 里认不出标注：既没有 entities，也没有 tags；现有的列：{'、'.join(names)}",
        f"No marks were recognised in {source}, neither entities nor tags; its columns: {', '.join(names)}",
        todo_zh="写成 text + entities（start、end、label），或 tokens + tags；列名用 --column entities=列名 指明。",
        todo_en="Give text + entities (start, end, label), or tokens + tags; or name it: --column entities=COLUMN.",
    )


def _listed(cell: Any, place: Place, name: str) -> list[Any]:
    """A list, also out of a table's cell: JSON, or words with spaces between."""
    if isinstance(cell, str):
        stripped = cell.strip()
        if not stripped.startswith(("[", "{")):
            return stripped.split()
        try:
            cell = json.loads(stripped)
        except ValueError as error:
            raise _unreadable(place, name, cell, f"不是 JSON（{error}）", f"is not JSON ({error})") from None
    if cell is None:
        return []
    if not isinstance(cell, list | tuple):
        raise _unreadable(place, name, cell, "不是列表", "is no list")
    return list(cell)


def _tokens(record: Record, column: str) -> list[str]:
    found = _listed(record.fields.get(column), record.place, column)
    odd = next((token for token in found if not isinstance(token, str) or not token), None)
    if odd is not None:
        raise _unreadable(record.place, column, odd, "不是有字的文本", "is no text, or an empty one")
    return found


def _joinable(tokens: Sequence[str]) -> list[str]:
    """The tokens, with a space before those that would grow together with the word before them."""
    joined = list(tokens[:1])
    for before, token in pairwise(tokens):
        words = before[-1].isascii() and before[-1].isalnum() and token[0].isascii() and token[0].isalnum()
        # Single letters and digits are a text cut into characters: they belong together.
        joined.append(f" {token}" if words and max(len(before), len(token)) > 1 else token)
    return joined


def _tag_names(cell: Any, place: Place, count: int) -> list[str]:
    tags = _listed(cell, place, "tags")
    odd = next((tag for tag in tags if not isinstance(tag, str) or not tag), None)
    if odd is not None:
        raise _unreadable(place, "tags", odd, "不是标签名", "is no name of a tag")
    if len(tags) != count:
        raise DataError(
            f"{place}：有 {count} 个字（词），却有 {len(tags)} 个标签",
            f"{place}: {count} tokens but {len(tags)} tags",
            todo_zh="每个字（词）一个标签；检查这一行是否错位。",
            todo_en="Every token takes one tag; check whether the row has slipped.",
        )
    return tags


def _from_tokens(record: Record, tokens: Sequence[str], cell: Any) -> Row:
    tags = _tag_names(cell, record.place, len(tokens))
    pieces = _joinable(tokens)
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    text = "".join(pieces)
    # A space in front of a token is none of its own.
    starts = [end - len(token) for end, token in zip(ends[1:], tokens, strict=True)]
    marks = (Mark(starts[a], ends[b], label, text[starts[a] : ends[b]]) for a, b, label in spans_of_tags(tags))
    return Row(text, tuple(marks), record.place)


def _from_text(record: Record, text: str, cell: Any) -> Row:
    items = _listed(cell, record.place, "entities")
    if items and all(isinstance(item, str) for item in items):
        tags = _tag_names(items, record.place, len(text))
        return Row(text, tuple(Mark(a, b, label, text[a:b]) for a, b, label in spans_of_tags(tags)), record.place)
    marks = sorted(_mark(item, text, record.place) for item in items)
    for first, second in pairwise(marks):
        if second.start < first.end:
            raise DataError(
                f"{record.place}：{first} 和 {second} 重叠（{first.start}–{first.end}，{second.start}–{second.end}）",
                f"{record.place}: {first} and {second} overlap "
                f"({first.start}-{first.end}, {second.start}-{second.end})",
                todo_zh="每个字只能属于一处；去掉其中一个。",
                todo_en="A character can belong to one of them only: remove the other.",
            )
    return Row(text, tuple(marks), record.place)


def _mark(item: Any, text: str, place: Place) -> Mark:
    start, end, label, says = _fields(item, place)
    if not 0 <= start < end <= len(text):
        raise DataError(
            f"{place}：位置 {start}–{end} 不在文本里（共 {len(text)} 个字）",
            f"{place}: {start}-{end} lies outside the text of {len(text)} characters",
            todo_zh="从 0 数起，start 是第一个字，end 是最后一个字的后一位。",
            todo_en="Count from 0: start is the first character, end the one behind the last.",
        )
    if says is not None and says != text[start:end]:
        inclusive = says == text[start : end + 1]
        raise DataError(
            f"{place}：位置 {start}–{end} 是 {text[start:end]!r}，标注却写着 {says!r}",
            f"{place}: {start}-{end} reads {text[start:end]!r}, but the mark says {says!r}",
            todo_zh="end 要指到最后一个字的后一位：都加 1。" if inclusive else "改正这一处的位置。",
            todo_en="end points behind the last character: add 1 to each." if inclusive else "Correct the offsets.",
        )
    return Mark(start, end, label, text[start:end])


def _fields(item: Any, place: Place) -> tuple[int, int, str, str | None]:
    if isinstance(item, Mapping):
        found: list[Any] = [
            next((item[name] for name in names if name in item), None) for names in (_START, _END, _LABEL)
        ]
        found.append(item.get("text"))
    else:
        found = [*item, None][:4] if isinstance(item, list | tuple) and len(item) >= 3 else [None] * 4
    start, end, label, says = found
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (start, end))
    if not whole or not isinstance(label, str) or not label or not (says is None or isinstance(says, str)):
        raise _unreadable(place, "entities", item, "不是 start、end、label", "is not start, end and label")
    return start, end, label, says


def _unreadable(place: Place, name: str, value: Any, zh: str, en: str) -> DataError:
    return DataError(
        f"{place}：{name} 里的 {str(value)[:60]!r} {zh}",
        f"{place}: {str(value)[:60]!r} of {name} {en}",
        todo_zh='写成 {"text": "他在北京", "entities": [{"start": 2, "end": 4, "label": "地名"}]}，'
        '或 {"tokens": ["北", "京"], "tags": ["B-地名", "I-地名"]}。',
        todo_en='Write {"text": "...", "entities": [{"start": 2, "end": 4, "label": "LOC"}]}, '
        'or {"tokens": [...], "tags": ["B-LOC", ...]}.',
    )
