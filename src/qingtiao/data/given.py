"""What a data set was read from: the file, its encoding, its sheet, and which columns were taken for what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qingtiao.data.opening import SourceFile
from qingtiao.data.read import FileFacts
from qingtiao.data.sheets import merged_cells
from qingtiao.data.sources import facts_of, parse_source, path_and_sheet
from qingtiao.errors import DataError
from qingtiao.types import Record, Row

_MOST_RANGES = 3


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns whose cells are the texts of the rows, the others that the task took, and those it did not look at.

    A task may put back what it read, so all of these can be empty.
    """

    text: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, records: Sequence[Record], rows: Sequence[Row]) -> Columns:
        """Told from what became of `records`, whatever task made rows of them."""
        made = {row.place: row for row in rows}
        pairs = [(record.fields, made[record.place]) for record in records if record.place in made]
        names = dict.fromkeys(name for fields, _ in pairs for name in fields)
        unused = {name for name in names if any(name in row.fields for _, row in pairs)}
        text = {name for name in names if name not in unused and all(_is_text(f.get(name), r) for f, r in pairs)}
        return cls(
            text=tuple(name for name in names if name in text),
            label=tuple(name for name in names if name not in text | unused),
            unused=tuple(name for name in names if name in unused),
        )


@dataclass(frozen=True, slots=True)
class Given:
    """What the rows of one split were read from."""

    source: str
    facts: FileFacts
    columns: Columns

    @property
    def overlooked(self) -> tuple[str, ...]:
        """Sheets that hold something, and that nobody chose to leave out."""
        named = path_and_sheet(self.source)[1] is not None
        return () if named else self.facts.unread_sheets

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "encoding": self.facts.encoding,
            "sheet": self.facts.sheet,
            "unread_sheets": list(self.facts.unread_sheets),
            "columns": {
                "text": list(self.columns.text),
                "label": list(self.columns.label),
                "unused": list(self.columns.unused),
            },
        }


@contextmanager
def explained(source: str) -> Iterator[None]:
    """An error about the rows of a workbook also says what in the workbook may have caused it.

    Raises:
        DataError: the one that came up, with more to do.
    """
    try:
        yield
    except DataError as error:
        more = _likely_causes(source)
        if not more:
            raise
        zh, en = ("".join(one) for one in zip(*more, strict=True))
        todo_zh, todo_en = f"{error.todo_zh.rstrip('。')}。{zh}", f"{error.todo_en.rstrip('.')}.{en}"
        raise error.advising(todo_zh=todo_zh, todo_en=todo_en) from error.__cause__


def _likely_causes(source: str) -> list[tuple[str, str]]:
    kind, name = parse_source(source)
    path, sheet = path_and_sheet(name)
    try:
        facts = facts_of(source)
        if kind != "file" or facts.sheet is None:
            return []
        merged = merged_cells(SourceFile.find(Path(path)), sheet=sheet)
    except DataError:
        return []
    unread = facts.unread_sheets if sheet is None else ()
    return [
        *([_merged(facts.sheet, merged)] if merged else []),
        *([_unread(path, facts.sheet, unread)] if unread else []),
    ]


def _merged(sheet: str, ranges: Sequence[str]) -> tuple[str, str]:
    more = len(ranges) > _MOST_RANGES
    shown, shown_en = (mark.join(ranges[:_MOST_RANGES]) for mark in ("、", ", "))
    return (
        f"表 {sheet} 里有合并的单元格（{shown}{'……' if more else ''}），可能就是因为它：合并后只有左上角那一格有内容。"
        "请取消合并、把每一格填满；标题那样的合并行删掉。",
        f" The sheet {sheet} has merged cells ({shown_en}{' …' if more else ''}), which may be why: only the top left "
        "cell of a merged range holds anything. Unmerge them and fill every cell; remove merged title rows.",
    )


def _unread(path: str, sheet: str, others: Sequence[str]) -> tuple[str, str]:
    return (
        f"读的是表 {sheet}；另外有内容的表：{'、'.join(others)}。数据在那里的话，写 {path}#{others[0]}。",
        f" The sheet {sheet} was read; others hold something too: {', '.join(others)}. "
        f"If the data is there, write {path}#{others[0]}.",
    )


def _is_text(cell: Any, row: Row) -> bool:
    text = "" if cell is None else str(cell)
    return text == row.text or text in row.parts
