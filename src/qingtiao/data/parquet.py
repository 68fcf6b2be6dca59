"""Parquet gives a column one type: here it is one that holds every value of the column as it was, else text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from qingtiao.data.spill import Fields, spilled
from qingtiao.data.strict import strict_text

if TYPE_CHECKING:
    import pyarrow as pa

Sort = type | tuple[type, str]
_PLAIN = (bool, int, float, str, list, dict)  # bool first: it is an int too
_EXACT = 2**53
"""The integers up to here are exact as float64."""


def write_parquet(file: BinaryIO, records: Iterable[Fields], *, folder: Path) -> None:
    """Write `records` to `file`; they are put aside in `folder` until all their columns and types are known."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: defaultdict[str, Kind] = defaultdict(Kind)

    def note(batch: Sequence[Fields]) -> None:
        for name in {name for fields in batch for name in fields}:
            kinds[name].note(fields.get(name) for fields in batch)

    with spilled(records, folder, seen=note) as spill:
        types = {name: kinds[name].arrow() for name in spill.names}
        schema = pa.schema([(_encodable(name), types[name] or pa.string()) for name in spill.names])
        with pq.ParquetWriter(file, schema) as writer:
            for batch in spill.batches():
                arrays = [_array([fields.get(name) for fields in batch], kind) for name, kind in types.items()]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


class Kind:
    """The kinds of value that a column, or a place inside its values, has held so far."""

    def __init__(self) -> None:
        self._kinds: set[Sort] = set()
        self._low = self._high = 0
        self._items: Kind | None = None
        self._fields: dict[str, Kind] | None = None
        self._alike = True
        self._others: set[pa.DataType | None] = set()

    def note(self, values: Iterable[Any]) -> None:
        by_kind: defaultdict[Sort, list[Any]] = defaultdict(list)
        for value in values:
            if value is not None:
                by_kind[_kind_of(value)].append(value)
        for kind, held in by_kind.items():
            self._note(kind, held)
        self._kinds |= by_kind.keys()

    def arrow(self) -> pa.DataType | None:
        """The type that holds all of it; None where that takes text."""
        import pyarrow as pa

        plain: dict[frozenset[Sort], pa.DataType] = {
            frozenset(): pa.string(),
            frozenset({bool}): pa.bool_(),
            frozenset({str}): pa.string(),
            frozenset({float}): pa.float64(),
        }
        kinds = frozenset(self._kinds)
        if kinds in plain:
            return plain[kinds]
        if kinds <= {int, float}:
            return self._number(with_float=float in kinds)
        if kinds == {list} and self._items is not None:
            item = self._items.arrow()
            return None if item is None else pa.list_(item)
        if kinds == {dict}:
            return self._struct()
        return _joined(self._others) if len(kinds) == 1 else None

    def _note(self, kind: Sort, held: list[Any]) -> None:
        if kind is int:
            self._low, self._high = min(self._low, *held), max(self._high, *held)
        elif kind is list:
            self._items = self._items or Kind()
            self._items.note(item for value in held for item in value)
        elif kind is dict:
            fields = self._fields = {name: Kind() for name in held[0]} if self._fields is None else self._fields
            self._alike = self._alike and all(value.keys() == fields.keys() for value in held)
            if self._alike:
                for name, field in fields.items():
                    field.note(value[name] for value in held)
        elif kind not in _PLAIN:
            self._others.add(_inferred(held))

    def _number(self, *, with_float: bool) -> pa.DataType | None:
        import pyarrow as pa

        if with_float:
            return pa.float64() if self._low >= -_EXACT and self._high <= _EXACT else None
        if self._low >= -(2**63) and self._high < 2**63:
            return pa.int64()
        return pa.uint64() if self._low >= 0 and self._high < 2**64 else None

    def _struct(self) -> pa.DataType | None:
        import pyarrow as pa

        # A row that lacks a field would gain it as null, and parquet knows no struct without fields.
        if not self._alike or not self._fields or any(_encodable(name) != name for name in self._fields):
            return None
        fields = {name: field.arrow() for name, field in self._fields.items()}
        return None if None in fields.values() else pa.struct(list(fields.items()))


def _kind_of(value: Any) -> Sort:
    if type(value) in _PLAIN:
        return type(value)
    if isinstance(value, datetime):
        return datetime, str(value.tzinfo)  # Arrow would read the one without a zone as UTC
    if isinstance(value, tuple):
        return list
    return next((plain for plain in _PLAIN if isinstance(value, plain)), type(value))


def _inferred(values: list[Any]) -> pa.DataType | None:
    import pyarrow as pa

    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError):
        return None


def _joined(types: set[pa.DataType | None]) -> pa.DataType | None:
    import pyarrow as pa

    try:
        schemas = [pa.schema([("value", kind)]) for kind in types if kind is not None]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type if None not in types else None
    except pa.ArrowException:
        return None


def _array(values: list[Any], kind: pa.DataType | None) -> Any:
    import pyarrow as pa

    return pa.array([_text(value) for value in values] if kind is None else _whole(values), kind or pa.string())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _encodable(value)
    plain = isinstance(value, bool | int | list | tuple | dict)
    return _encodable(strict_text(value) if plain else str(value))


def _whole(value: Any) -> Any:
    """`value` with every lone surrogate inside replaced: UTF-8 cannot say it."""
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, Mapping):
        return {name: _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list | tuple) else value


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
