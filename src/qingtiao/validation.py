"""What pydantic found wrong with a value, in words and at a place that a user can write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

# Of the rest pydantic's own English is shown.
_WANTED: Mapping[str, tuple[str, str]] = {
    "greater_than": ("大于 {gt} 的数", "a number greater than {gt}"),
    "greater_than_equal": ("不小于 {ge} 的数", "a number of {ge} or more"),
    "less_than": ("小于 {lt} 的数", "a number less than {lt}"),
    "less_than_equal": ("不大于 {le} 的数", "a number of {le} or less"),
    "too_short": ("至少 {min_length} 项", "{min_length} items or more"),
    "finite_number": ("有限的数", "a finite number"),
    "int_type": ("整数", "a whole number"),
    "int_parsing": ("整数", "a whole number"),
    "int_from_float": ("整数", "a whole number"),
    "float_type": ("数", "a number"),
    "float_parsing": ("数", "a number"),
    "bool_type": ("true 或 false", "true or false"),
    "bool_parsing": ("true 或 false", "true or false"),
    "string_type": ("一段文字", "a text"),
    "list_type": ("一个列表", "a list"),
    "tuple_type": ("一个列表", "a list"),
    "dict_type": ("“名字: 值”", "a mapping of names to values"),
    "model_type": ("“名字: 值”", "a mapping of names to values"),
}


class Mistake(NamedTuple):
    """One key that is unknown or missing, or whose value cannot be used; the last two say what could be."""

    path: tuple[str, ...]
    kind: str  # pydantic's `type`
    value: Any
    wanted_zh: str
    wanted_en: str


def mistakes(kind: type[BaseModel], errors: Iterable[Any]) -> Iterator[Mistake]:
    """`errors()` of a `ValidationError` of `kind`, one a key: the branches of a union are alternatives of one value."""
    by_path = defaultdict(list)
    for item in errors:
        by_path[_path(kind, [str(part) for part in item["loc"]])].append(item)
    for path, items in by_path.items():
        wanted = [_wanted(item) for item in items]
        zh, en = _once(zh for zh, _ in wanted), _once(en for _, en in wanted)
        yield Mistake(path, items[0]["type"], items[0]["input"], "，或者".join(map(_spaced, zh)), ", or ".join(en))


def fields_at(kind: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys that are valid at `path`; none where anything is, or nothing."""
    inner: Any = kind
    for name in path:
        inner = _inside(inner, name)
    return list(inner.model_fields) if _is_model(inner) else []


def fields_named(kind: type[BaseModel], name: str) -> Iterator[str]:
    """The whole path, dotted, of every field of that name."""
    for own, field in kind.model_fields.items():
        if own == name:
            yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{own}.{inner}" for inner in fields_named(field.annotation, name))


def _path(kind: type[BaseModel], location: Sequence[str]) -> tuple[str, ...]:
    """`location` without what pydantic adds to tell the branches of a union apart."""
    inner: Any = kind
    for count, name in enumerate(location):
        if not _is_model(inner) and get_origin(inner) is not dict:
            return tuple(location[:count])
        inner = _inside(inner, name)
    return tuple(location)


def _inside(kind: Any, name: str) -> Any:
    """The type of what stands under `name`; None where nothing further can."""
    if _is_model(kind):
        return kind.model_fields[name].annotation if name in kind.model_fields else None
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _wanted(item: Any) -> tuple[str, str]:
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"]
        return expected.replace(", ", "、").replace(" or ", " 或 "), expected
    if item["type"] not in _WANTED:
        return item["msg"], item["msg"]
    zh, en = _WANTED[item["type"]]
    bounds = item.get("ctx", {})
    return zh.format_map(bounds), en.format_map(bounds)


def _spaced(text: str) -> str:
    """Chinese puts a space between its own characters and others."""
    return f" {text}" if text[0].isascii() else text


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
