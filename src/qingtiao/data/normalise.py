"""How text is cleaned, identically in training and in prediction. Changing a rule means a new version."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from qingtiao.config import NormaliseConfig
from qingtiao.errors import EnvironmentLack

# Control, zero-width, bidi and soft-hyphen characters, byte order marks, tags, non-characters and lone surrogates:
# nothing a reader sees. Tab and line ends are spaces and are handled with them. The zero-width joiner and the variation
# selectors go as well: a joined emoji becomes its parts, which bases tokenise alike, while a joiner hidden between two
# Chinese characters splits words that a reader sees whole. Keeping it inside emoji only would need an emoji table that
# ages with Unicode.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff]+"
)
_SPACES = re.compile(r"[\s\u3164\uffa0]+")
# A short cover of everything `_INVISIBLE` and `_SPACES` could change in plain text, so that most texts skip both.
_NEEDS_WORK = re.compile(r"[^\u0021-\u007e\u00a1-\u00ac\u3001-\u3163\u3400-\u9fff\uff01-\uff9f“”‘’…—]")
_LINK = re.compile(r"(?:https?://|www\.)[^\s\u4e00-\u9fff，。！？、；：）】》”’]+", re.IGNORECASE)
# An @ inside a mail address has a letter before it and is left alone.
_MENTION = re.compile(r"(?<![0-9A-Za-z_.])@[0-9A-Za-z_\-\u4e00-\u9fff]{1,30}")


class Normaliser:
    """Text to clean text. Idempotent, and defined for every `str`, lone surrogates included.

    Version 1, in order: NFKC; invisible characters out; links and mentions folded; traditional to simplified; runs of
    whitespace to one space and the ends stripped; runs of one character longer than `squeeze_repeats` cut to it,
    except digits (10000 is not 1000).

    Raises:
        EnvironmentLack: `simplify` is on and OpenCC is not installed.
    """

    def __init__(self, config: NormaliseConfig) -> None:
        self.config = config
        self._simplify = _open_cc() if config.simplify else None
        limit = config.squeeze_repeats
        self._run = re.compile(rf"([^\d\s])\1{{{limit},}}") if limit else None
        self._has_run = re.compile("(.)" + r"\1" * limit)  # five times quicker, and most texts hold no run
        self._kept = r"\1" * limit

    def __call__(self, text: str) -> str:
        # One rule can make work for another (NFKC may make a space, OpenCC a run), so the rules are applied until
        # nothing changes. A second round is rare; the bound only guards against a cycle nobody has thought of.
        for _ in range(8):
            cleaned = self._once(text)
            if cleaned == text:
                break
            text = cleaned
        return text

    def _once(self, text: str) -> str:
        if self.config.nfkc and not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
        if _NEEDS_WORK.search(text):
            text = _SPACES.sub(" ", _INVISIBLE.sub("", text)).strip()
        if self.config.fold_links:
            text = _MENTION.sub("[用户]", _LINK.sub("[网址]", text))
        if self._simplify is not None:
            text = self._simplify(text)
        if self._run is not None and self._has_run.search(text):
            text = self._run.sub(self._kept, text)
        return text


def _open_cc() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise EnvironmentLack(
            f"繁体转简体需要 OpenCC，现在没有装（{error}）",
            f"Traditional to simplified needs OpenCC, which is not installed ({error})",
            todo_zh='运行 pip install "qingtiao[opencc]"，或者去掉 normalise.simplify。',
            todo_en='Run pip install "qingtiao[opencc]", or switch normalise.simplify off.',
        ) from None
    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert
