"""Text that was decoded with the wrong table: is it there, and can it be undone?"""

from __future__ import annotations

import re

from qingtiao.data.encoding import commonness

_LOST = re.compile("�|锟斤拷|烫烫烫|屯屯屯|鎷烽敓")
_LATIN = re.compile("[\u0080-\u00ff\u0152\u0153\u0160\u0161\u017d\u017e\u20ac\u2122]")
_WIDE = re.compile("[^\x00-\x7f]")


def is_damaged(text: str) -> bool:
    """Whether the text shows replacement characters (� 锟斤拷 烫烫烫) or reads as mojibake (å¤ªå¥½, 澶ソ)."""
    return bool(_LOST.search(text)) or repaired(text) != text


def repaired(text: str) -> str:
    """The text with its mojibake undone where that is certain; else the text itself. What was lost stays lost."""
    if _LATIN.search(text):
        # GBK read as Latin-1 is unknown to ftfy, which may take parts of it for something else: it comes first. UTF-8
        # read as Latin-1 or Windows-1252 is ftfy's subject.
        if (reread := _reread(text, "latin-1", "gb18030")) != text:
            return reread
        from ftfy import fix_encoding

        return str(fix_encoding(text))
    # UTF-8 read as GBK gives rare characters only; real Chinese without one common character in four is very rare.
    if len(_WIDE.findall(text)) >= 3 and commonness(text) < 0.25:
        return _reread(text, "gb18030", "utf-8")
    return text


def _reread(text: str, wrong: str, right: str) -> str:
    try:
        candidate = text.encode(wrong).decode(right)
    except UnicodeError:
        return text
    return candidate if commonness(candidate) >= 0.5 else text
