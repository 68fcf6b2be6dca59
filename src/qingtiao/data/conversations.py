"""Records of every usual shape as conversations: messages, ShareGPT turns, instructions, questions and answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from qingtiao.data.columns import find_column, label_of
from qingtiao.errors import DataError
from qingtiao.types import Place, Record, References, Row

_USUAL: Mapping[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation", "dialogue", "dialog", "对话", "消息"),
    "question": (
        *("instruction", "question", "prompt", "query", "ask", "user", "text"),
        *("指令", "问题", "提问", "问", "input", "输入"),
    ),
    "input": ("input", "context", "输入", "材料", "上下文"),
    "answer": (
        *("output", "answer", "response", "completion", "reply", "assistant", "target", "chosen"),
        *("回答", "答案", "回复", "输出", "答"),
    ),
    "system": ("system", "system_prompt", "系统提示", "系统"),
    "history": ("history", "历史", "历史对话"),
}
_KINDS = {"question": ("问题列", "question column"), "answer": ("回答列", "answer column")}
_ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter", "用户", "问"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatbot", "chatgpt", "助手", "答"), "assistant"),
    **dict.fromkeys(("system", "系统"), "system"),
}


_MOST_PLACES = 5


class Turn(NamedTuple):
    role: str
    content: str


class _Incomplete(NamedTuple):
    """A conversation that cannot be learnt from: where, and what it lacks."""

    place: Place
    zh: str
    en: str


def conversation_rows(
    records: Iterable[Record],
    *,
    columns: Mapping[str, str],
    system: str,
    labelled: bool,
    drop_incomplete: bool = False,
) -> list[Row]:
    """Records as rows: `parts` are the contents up to the last question, `fields["roles"]` their roles.

    The target is the answer to the last question. `text`, by which duplicates are judged, leaves the system prompt out:
    it is often the same for all. Answers before the first question are dropped, and so are questions after the last
    answer; turns of one role in a row become one. A record that holds a whole conversation is read as that, whatever
    its other columns say; `history` is what came before its question.

    Args:
        columns: role (messages, question, input, answer, system, history) to column, of those not to be found by name.
        system: the system prompt of conversations that bring none; empty for none.
        drop_incomplete: leave out labelled conversations without an answer, or with an empty turn.

    Raises:
        DataError: with the place of the first record that is no conversation, or of those that are incomplete.
    """
    shapes: dict[tuple[str, ...], dict[str, str]] = {}
    rows: list[Row] = []
    incomplete: list[_Incomplete] = []
    for record in records:
        names = tuple(record.fields)
        if names not in shapes:
            shapes[names] = _shape(record, columns)
        turns = _joined(_turns(record, shapes[names], labelled=labelled))
        lack = _gap(turns, record.place) if labelled else None
        if lack is None:
            rows.append(_row(turns, record.place, system, labelled=labelled))
        else:
            incomplete.append(lack)
    if incomplete and not drop_incomplete:
        raise _refused(incomplete, total=len(rows) + len(incomplete))
    return rows


def messages_of(row: Row) -> list[dict[str, str]]:
    """The conversation of a row of `conversation_rows` up to its last question."""
    return [{"role": role, "content": part} for role, part in zip(row.fields["roles"], row.parts, strict=True)]


def _shape(record: Record, wanted: Mapping[str, str]) -> dict[str, str]:
    """The column of each role that such a record has."""
    shape = {}
    for role in _USUAL:
        # A role that was named must be there, and so must a question where there is no conversation.
        needed = role in wanted or (role == "question" and "messages" not in shape)
        if needed or _is_there(record, role):
            shape[role] = _found(record, role, wanted.get(role))
    return shape


def _is_there(record: Record, role: str) -> bool:
    try:
        _found(record, role, None)
    except DataError:
        return False
    return True


def _found(record: Record, role: str, wanted: str | None) -> str:
    return find_column(
        list(record.fields),
        wanted=wanted,
        usual=_USUAL[role],
        source=str(record.place),
        role=role,
        kind=_KINDS.get(role, (f"{role} 列", f"{role} column")),
    )


def _row(turns: Sequence[Turn], place: Place, system: str, *, labelled: bool) -> Row:
    given = [turn for turn in turns if turn.role == "system"][:1] or ([Turn("system", system)] if system else [])
    turns = _up_to_the_last_answer(turns) if labelled else [turn for turn in turns if turn.role != "system"]
    answer = turns.pop().content if turns and turns[-1].role == "assistant" else None
    return Row(
        text="\n".join(turn.content for turn in turns) if turns and turns[-1].content else "",
        target=References([answer]) if labelled and answer is not None else None,
        place=place,
        fields={"roles": [turn.role for turn in (*given, *turns)]},
        parts=tuple(turn.content for turn in (*given, *turns)),
    )


def _up_to_the_last_answer(turns: Sequence[Turn]) -> list[Turn]:
    said = [turn for turn in turns if turn.role != "system"]
    while said and said[-1].role == "user":
        said.pop()
    return said


def _turns(record: Record, shape: Mapping[str, str], *, labelled: bool) -> list[Turn]:
    """All turns of a record, in order, as they stand."""
    turns = [Turn("system", text) for text in [_cell(record, shape.get("system"))] if text]
    whole = _listed(record, shape.get("messages"))
    if whole:
        return [*turns, *whole]
    if "question" not in shape:
        raise _no_conversation(record.place, f"{shape['messages']}: []")
    question, extra = _cell(record, shape["question"]), ""
    if shape.get("input") != shape["question"]:
        extra = _cell(record, shape.get("input"))
    asked = Turn("user", "\n".join(text for text in (question, extra) if text))
    if not labelled:
        return [*turns, *_listed(record, shape.get("history")), asked]
    if "answer" not in shape:
        shape = {**shape, "answer": _found(record, "answer", None)}
    return [*turns, *_listed(record, shape.get("history")), asked, Turn("assistant", _cell(record, shape["answer"]))]


def _cell(record: Record, name: str | None) -> str:
    if name is None:
        return ""
    cell = record.fields[name]
    if isinstance(cell, list | dict | bytes):
        raise _no_conversation(record.place, f"{name}: {str(cell)[:60]}")
    return cell.strip() if isinstance(cell, str) else label_of(cell)


def _listed(record: Record, name: str | None) -> list[Turn]:
    """The turns in one cell: a list of messages, of ShareGPT turns, or of pairs; or JSON text of one."""
    if name is None:
        return []
    cell = record.fields[name]
    if isinstance(cell, str) and cell.strip():
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            raise _no_conversation(record.place, f"{name}: {cell[:60]}") from None
    if not cell:
        return []
    if not isinstance(cell, list | tuple):
        raise _no_conversation(record.place, f"{name}: {str(cell)[:60]}")
    turns: list[Turn] = []
    for one in cell:
        turns += _message(one, record.place, name)
    return turns


def _message(one: Any, place: Place, name: str) -> list[Turn]:
    if isinstance(one, list | tuple) and len(one) == 2 and all(isinstance(text, str) for text in one):
        return [Turn("user", one[0].strip()), Turn("assistant", one[1].strip())]
    if isinstance(one, Mapping):
        said, content = one.get("role", one.get("from")), one.get("content", one.get("value"))
        role = _ROLES.get(str(said).strip().lower())
        if role is not None and isinstance(content, str | None):
            return [Turn(role, (content or "").strip())]
    raise _no_conversation(place, f"{name}: {str(one)[:80]}")


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    """Turns of one role in a row as one, and nothing said before the first question."""
    kept: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and not any(other.role == "user" for other in kept):
            continue
        if kept and kept[-1].role == turn.role:
            kept[-1] = Turn(turn.role, "\n".join(text for text in (kept[-1].content, turn.content) if text))
        else:
            kept.append(turn)
    return kept


def _gap(turns: Sequence[Turn], place: Place) -> _Incomplete | None:
    """What keeps a conversation from being learnt from."""
    said = _up_to_the_last_answer(turns)
    if not said:
        return _Incomplete(place, "没有回答", "there is no answer")
    empty = next((number for number, turn in enumerate(said, 1) if not turn.content), None)
    return None if empty is None else _Incomplete(place, f"第 {empty} 句是空的", f"turn {empty} is empty")


def _refused(incomplete: Sequence[_Incomplete], *, total: int) -> DataError:
    shown, more = incomplete[:_MOST_PLACES], len(incomplete) > _MOST_PLACES
    zh = "；".join(f"{one.place} {one.zh}" for one in shown) + ("……" if more else "")
    en = "; ".join(f"{one.place}: {one.en}" for one in shown) + (" …" if more else "")
    return DataError(
        f"{total} 段对话里有 {len(incomplete)} 段不能训练：{zh}",
        f"{len(incomplete)} of {total} conversations cannot be learnt from: {en}",
        todo_zh="补上，或者加 --set task_options.drop_incomplete=true 把它们去掉。",
        todo_en="Fill them in, or leave them out with --set task_options.drop_incomplete=true.",
    )


def _no_conversation(place: Place, found: str) -> DataError:
    return DataError(
        f"{place} 不是对话：{found}",
        f"{place} is no conversation: {found}",
        todo_zh='写成 [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]，'
        "或 instruction / input / output 三列，或问题、回答两列。只读文字，不读工具调用和图片。",
        todo_en='Write [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], or columns '
        "instruction / input / output, or question / answer. Only text is read, no tool calls and no images.",
    )
