"""The normaliser: what it changes, that it is idempotent, that nothing crashes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingtiao.config import NormaliseConfig
from qingtiao.data.normalise import Normaliser

ALL_ON = NormaliseConfig(simplify=True, fold_links=True)
ANY_TEXT = st.text(st.characters() | st.sampled_from("哈！!。～~@ \t\u200b\u200d\u3000\ufeff\ud83d👍ａＡ1麼發.www:/h"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  好\u3000\u3000吃\r\n\t了 ", "好 吃 了"),
        ("ＡＢＣ１２３", "ABC123"),
        ("好\u200b吃\ufeff\u202e\u0000\u00ad", "好吃"),
        ("好\ud83d吃", "好吃"),
        ("太好了！！！！！！", "太好了!!!"),
        ("哈哈哈哈哈哈", "哈哈哈"),
        ("👍👍👍👍👍", "👍👍👍"),
        ("一共10000000元", "一共10000000元"),
        ("👩\u200d🍳", "👩🍳"),
        ("", ""),
        (" \u200b ", ""),
    ],
)
def test_what_it_changes(before: str, after: str) -> None:
    assert Normaliser(NormaliseConfig())(before) == after


def test_each_rule_can_be_switched() -> None:
    assert Normaliser(NormaliseConfig(nfkc=False))("Ａ！！！！") == "Ａ！！！"
    assert Normaliser(NormaliseConfig(squeeze_repeats=0))("哈" * 9) == "哈" * 9
    assert Normaliser(NormaliseConfig(squeeze_repeats=1))("哈哈！！") == "哈!"
    assert Normaliser(NormaliseConfig(simplify=True))("這間酒店的服務") == "这间酒店的服务"


def test_links_and_names_are_folded() -> None:
    fold = Normaliser(NormaliseConfig(fold_links=True))
    assert fold("看 https://a.cn/b?c=1 ，@小王 说好，写信到 a@b.com") == "看 [网址] ,[用户] 说好,写信到 a@b.com"


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT)
@pytest.mark.parametrize("config", [NormaliseConfig(), NormaliseConfig(nfkc=False, squeeze_repeats=1), ALL_ON])
def test_twice_is_once(config: NormaliseConfig, text: str) -> None:
    normaliser = _made(config)
    once = normaliser(text)
    assert normaliser(once) == once
    once.encode("utf-8")


_MADE: dict[str, Normaliser] = {}


def _made(config: NormaliseConfig) -> Normaliser:
    return _MADE.setdefault(config.model_dump_json(), Normaliser(config))
