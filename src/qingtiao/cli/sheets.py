"""A word about the sheets of an Excel file that are not read."""

from __future__ import annotations

from rich.markup import escape

from qingtiao.cli.output import stderr
from qingtiao.language import say


def tell_unread_sheets(source: str) -> None:
    """On standard error, where other sheets of `source` hold something and none was named.

    Raises:
        DataError: it is an Excel file that cannot be read.
    """
    if not source.lower().endswith((".xlsx", ".xlsx.gz")):
        return
    from qingtiao.data.sources import facts_of

    facts = facts_of(source)
    if facts.unread_sheets:
        unread, unread_en = "、".join(facts.unread_sheets), ", ".join(facts.unread_sheets)
        told = say(
            f"{source} 只读表 {facts.sheet}，不读：{unread}。要用别的表，写成 {source}#表名。",
            f"Of {source} the sheet {facts.sheet} is read, and these are not: {unread_en}. "
            f"To use another, write {source}#SHEET.",
        )
        stderr.print(f"[yellow]![/] {escape(told)}")
