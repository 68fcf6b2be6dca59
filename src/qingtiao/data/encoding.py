"""Which encoding a Chinese text file is in. Bytes are always decoded strictly: nothing is replaced in silence."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from qingtiao.data.opening import SourceFile
from qingtiao.errors import DataError

_CHUNK = 1 << 18
_SAMPLE = 1 << 18
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The 400 commonest characters of reviews, news titles and posts, and the traditional forms of those that have one.
# Text decoded with the wrong table is made of rare characters, so the share of common ones tells the tables apart
# even in a few characters.
_SIMPLIFIED = (
    "的不了是一我有人好个这在大就还到很上没来都时要么也天点你小看中子生能多可会为说以下后心本年国自过家得想开间出送发房真太去和吃们用图现书感道"
    "然对学最里高次新觉成店价地他那电比日面分给事机前行度起被服错什啊着酒美只样情快实己方月但餐全务打作经理无手金公动再之外知别三两回女定住明元"
    "考话意当让买于而如所网做长果业老东死重才又差内第常西市其入车装将员因力万工平总今特爱些基单期水晚名难安问场加直早完味已主种法气等同候结性非"
    "少体文通盘品怎热头合量收喜进半部海门受较与星每友居儿者把吧接相身饭关欢超评望更从活系格几级二台客正口放应走股男位信十题妈提像利睡宝商推菜游"
    "强慢见周光四解北孩带交怕变近称组马她物读钱路世资楼费该数京战便首货失原产肉调容设建吗报速卡空保哈华反计指选统程且整联风试记包满线算米花视乐"
    "配山白质师找态般认教件连色火恐告值区求边写订预球化张越南续城清英持布跟神民片此拉科售精百表语何呢影管干五眼传处评论标签负类"
)
_TRADITIONAL = (
    "個這還沒來時麼點會爲為說後國過開間發喫們圖現書對學裏裡覺價電給機錯樣實務經無動別兩話當讓買於網長業東內車裝將員萬總愛單難問場種氣結體盤熱"
    "頭進門較與兒飯關歡評從幾級臺應題媽寶遊強見帶變稱組馬讀錢資樓費該數戰貨產調設嗎報華計選統聯風試記滿線視樂質師態認連區邊寫訂預張續語幹傳處論標籤負類"
)
_COMMON = frozenset(_SIMPLIFIED + _TRADITIONAL + "，。！？、；：“”‘’（）《》…—～「」")
# Both tables hold their commoner characters first: (the standard, the last lead byte of that level). It says less than
# `_COMMON`, since a wrong decoding often lands there too, and decides only where `_COMMON` is silent.
_FIRST_LEVELS = {"gb18030": ("gb2312", 0xD7), "big5hkscs": ("big5", 0xC6)}
_FIRST_LEVEL_WEIGHT = 0.1
_MOST_WEIGHED = 20_000
_MULTIBYTE = re.compile(r"[^\x00-\x7f\ufffd]")


class Undecodable(NamedTuple):
    """The first byte that cannot be decoded: its offset from the start of the file, and the line it stands on."""

    offset: int
    line: int


def detect_encoding(source: SourceFile) -> str:
    """A byte order mark, else UTF-16 by its NULs, else UTF-8 if the whole file decodes, else GB18030 or Big5.

    Raises:
        DataError: damaged UTF-8, or no encoding fits; with the offset and line of the first undecodable byte.
    """
    with source.open() as file:
        head = file.read(_SAMPLE)
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    if b"\0" in head and (wide := _utf16(head)):
        return wide
    fault = find_undecodable(source, "utf-8")
    if fault is None:
        return "utf-8"
    sample = _sample(source, head, fault.offset)
    if _is_damaged_utf8(sample):
        raise undecodable(source, "utf-8", fault)
    return _chinese_table(source, sample, fault)


def check_encoding(source: SourceFile, name: str) -> str:
    """`name`, when Python knows it as a text encoding.

    Raises:
        DataError: it does not.
    """
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise DataError(
            f"不认识编码 {name!r}（{source.path}）",
            f"The encoding {name!r} is not known ({source.path})",
            todo_zh="常用的有 utf-8、gb18030、big5、utf-16；不写 --encoding 就自动检测。",
            todo_en="Common ones: utf-8, gb18030, big5, utf-16; without --encoding it is detected.",
        ) from None
    return "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name


def find_undecodable(source: SourceFile, encoding: str) -> Undecodable | None:
    """The first undecodable byte, in constant memory; None when the whole file decodes."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    offset, line = 0, 1
    with source.open() as file:
        while True:
            chunk = file.read(_CHUNK)
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                bad = offset - held + error.start
                return Undecodable(bad, line + error.object[: error.start].count(b"\n"))
            except UnicodeError:  # utf-16 and utf-32 say this of a stream without their mark
                return Undecodable(0, 1)
            if not chunk:
                return None
            offset, line = offset + len(chunk), line + text.count("\n")


def undecodable(source: SourceFile, encoding: str, fault: Undecodable | None) -> DataError:
    where = f"第 {fault.line} 行、第 {fault.offset} 字节" if fault else "文件里"
    where_en = f"at byte {fault.offset}, line {fault.line}" if fault else "somewhere"
    return DataError(
        f"{source.path} {where}的内容不能按 {encoding} 解码",
        f"{source.path} cannot be decoded as {encoding} {where_en}",
        todo_zh="用 --encoding 指明编码（utf-8、gb18030、big5、utf-16），或者修好这一行再存为 UTF-8。",
        todo_en="Name it with --encoding (utf-8, gb18030, big5, utf-16), or repair that line and save as UTF-8.",
    )


def commonness(text: str) -> float:
    """Share of common Chinese characters and marks among the non-ASCII characters; 0 when there are none."""
    wide = [character for character in text if character > "\x7f"]
    return sum(character in _COMMON for character in wide) / len(wide) if wide else 0.0


def _first_level(text: str, level: tuple[str, int]) -> float:
    standard, last = level
    wide = [character for character in text[:_MOST_WEIGHED] if character > "\x7f"]
    encoded = [character.encode(standard, "ignore") for character in wide]
    return sum(bool(code) and code[0] <= last for code in encoded) / len(wide) if wide else 0.0


def _utf16(head: bytes) -> str | None:
    head = head[: len(head) // 2 * 2]
    scores = {name: _plausible(head, name) for name in ("utf-16-le", "utf-16-be")}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0.5 else None


def _plausible(data: bytes, encoding: str) -> float:
    # Share of printable ASCII and Chinese: in the wrong byte order both become something else, and eight-bit text
    # with stray NULs is neither.
    text = data.decode(encoding, "replace")
    good = sum(c in _COMMON or " " <= c <= "~" or c in "\r\n\t" for c in text)
    return good / max(1, len(text)) + (text.count("\n") > 0) * 0.25


def _sample(source: SourceFile, head: bytes, offset: int) -> bytes:
    # The head may be pure ASCII, so the neighbourhood of the first foreign byte is looked at as well.
    if offset < len(head) // 2:
        return head
    with source.open() as file:
        left = max(0, offset - 4096)
        while left > 0 and (skipped := len(file.read(min(_CHUNK, left)))):
            left -= skipped
        near = file.read(_SAMPLE)
    # From the beginning of its line, or a double-byte character might be cut in half; else from the byte itself.
    before = min(4096, offset)
    line = near.rfind(b"\n", 0, before)
    return near[line + 1 if line >= 0 else before :]


def _is_damaged_utf8(sample: bytes) -> bool:
    # A cut or corrupted UTF-8 file is still mostly valid multi-byte UTF-8; text in another table hardly ever is.
    text = sample.decode("utf-8", "replace")
    whole, broken = len(_MULTIBYTE.findall(text)), text.count("\ufffd")
    return whole >= 4 and whole >= 3 * broken


def _chinese_table(source: SourceFile, sample: bytes, fault: Undecodable) -> str:
    scores = {}
    for name in ("gb18030", "big5hkscs"):
        decoder = codecs.getincrementaldecoder(name)("strict")
        try:
            text = decoder.decode(sample)
            scores[name] = commonness(text) + _FIRST_LEVEL_WEIGHT * _first_level(text, _FIRST_LEVELS[name])
        except UnicodeDecodeError:
            continue
    best = max(scores, key=lambda name: scores[name], default=None)
    # Real Chinese scores 0.5 and more, a tiny file of uncommon words 0.1, other languages about 0.
    if best is None or scores[best] < 0.05:
        raise undecodable(source, "utf-8 / gb18030 / big5", fault)
    return best
