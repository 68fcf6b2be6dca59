"""Distant labels for pooled vectors: what a text judges or feels, read off words that say so openly.

No text was labelled by anyone. A review all of whose judging words point one way is taken for a review of that
polarity (Turney 2002 starts from seed words in the same manner), and the words are often hidden from the model, so
that it must read the judgement off the rest (SKEP, Tian et al. 2020). Feelings in prose are handled as DeepMoji
(Felbo et al. 2017) handles emoji: the words are masked and the pooled vector says which groups there were.

The lists are our own. A third of them came from reading the words that tell the seed-labelled reviews apart.
"""

from __future__ import annotations

import re


def _words(text: str) -> list[str]:
    return text.split()


PRAISE = _words(
    """
    好评 推荐 喜欢 喜爱 满意 不错 很好 非常好 太好 真好 挺好 精彩 超值 值得 划算 实惠 舒服 舒适
    干净 整洁 方便 漂亮 好看 好吃 美味 好用 流畅 热情 周到 贴心 给力 惊喜 感动 完美 经典 优秀 一流
    赞 棒 爱不释手 物超所值 性价比高 下次还 还会来 温馨 细腻 受益 深刻 神作 好书 力荐 开心 享受 安静
    清晰 物美价廉 好喝 新鲜 很快 顺利 正品 放心 轻便 精致 独特 有趣 幽默 大爱 回味 震撼 治愈 启发
    收获 礼貌 到位 很强 丰富 亲切 精细 小巧 用心 大方 难得 称赞 表扬 感谢 珍贵 易懂 简洁 宽敞 生动
    巧妙 学到 刚好 合适 实用
    """
)

BLAME = _words(
    """
    差评 垃圾 失望 后悔 差劲 太差 很差 极差 最差 难吃 难看 难用 恶心 糟糕 破旧 脏 臭 吵 骗 坑
    上当 退货 退款 死机 蓝屏 坏了 噪音 发热 烫手 异味 冷漠 恶劣 投诉 愤怒 气愤 无语 郁闷 浪费 无聊
    无趣 没意思 看不下去 烂 狗血 做作 矫情 啰嗦 枯燥 乏味 空洞 抄袭 错别字 幼稚 肤浅 弃 凉了 太慢
    很慢 难喝 不新鲜 不满 没用 不会再 再也不 千万别 陈旧 霉 嘈杂 简陋 磨损 划痕 瑕疵 缺陷 故障 死板
    装逼 装b 扯淡 烂书 浮夸 不知所云 读不下去 不值 偏贵 太贵 不推荐 不喜欢 不满意 不方便 不干净
    不舒服 不好 不怎么样 不如 廉价 忍受 敷衍 拖沓 生硬 冗长 混乱 流水账 莫名其妙 讨厌 侮辱 可笑 懒得
    折腾 骚扰 换房 老鼠 蚊子 没法 无味 透了
    """
)

FEELINGS = {
    "joy": _words("开心 高兴 快乐 幸福 喜悦 欢喜 愉快 兴奋 欣慰 满足 甜蜜 温暖 哈哈 笑了 自豪 骄傲 感激 庆祝 恭喜"),
    "anger": _words("生气 愤怒 气愤 恼火 发火 恨 讨厌 烦 暴躁 可恶 无耻 骂 抱怨 不满 怒 气死 滚 混蛋 受够"),
    "sadness": _words("难过 伤心 悲伤 痛苦 哭 眼泪 失落 绝望 孤独 委屈 心痛 失望 抑郁 思念 悲痛 凄凉 遗憾 寂寞 崩溃"),
    "fear": _words("害怕 恐惧 担心 焦虑 紧张 不安 恐慌 可怕 惊恐 吓 慌 担忧 怕 危险 恐怖 惊慌 惶恐 噩梦"),
    "surprise": _words("惊讶 吃惊 意外 没想到 居然 竟然 突然 震惊 惊奇 奇怪 不可思议 诧异 万万 忽然 难以置信"),
    "praise": PRAISE,
    "blame": BLAME,
}

_NEGATION = re.compile(r"(不|没|没有|毫无|无|别|难以|谈不上|算不上|不够|不太|并不|不是很)\w{0,2}$")
_JUDGING = re.compile("|".join(sorted(map(re.escape, PRAISE + BLAME), key=len, reverse=True)))
_PRAISE = frozenset(PRAISE)


def polarity(text: str) -> int:
    """1 where every judging word praises, 0 where every one blames, -1 where none does or they disagree."""
    sides = set()
    for match in _JUDGING.finditer(text):
        negated = _NEGATION.search(text[max(0, match.start() - 4) : match.start()]) is not None
        if match.group() not in _PRAISE:
            if not negated:  # 「没有异味」 praises faintly at most
                sides.add(0)
        else:
            sides.add(0 if negated else 1)
    return sides.pop() if len(sides) == 1 else -1


def feeling_table(tokens: list[str]) -> list[int]:
    """For each token a bit set of the groups of `FEELINGS` with a word inside it (bit order: that of the mapping)."""
    patterns = [re.compile("|".join(map(re.escape, words))) for words in FEELINGS.values()]
    return [sum(1 << bit for bit, pattern in enumerate(patterns) if pattern.search(token)) for token in tokens]
