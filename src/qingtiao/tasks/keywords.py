"""Keywords: an encoder marks them where they stand in the text, and the likeliest are the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Keywords
from qingtiao.classes import named_outputs
from qingtiao.config import Settings
from qingtiao.data.marks import Mark
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure
from qingtiao.keyphrases import KEYWORD_MEASURES, counts, keyword_baselines, normal_form, occurrences, read_keywords
from qingtiao.language import say
from qingtiao.models.pieces import (
    Units,
    by_character,
    collate_pieces,
    encode_pieces,
    piece_logits,
    tag_cross_entropy,
)
from qingtiao.spans import likely_spans, read_as, tag_loss, tag_names, text_read, token_tags
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, Row

_LABELS = ("KEY",)
# Keywords with spaces between; a few of them do not stand in their text, as in life.
_SAMPLES = (
    (
        "老小区加装电梯，最难的是一楼住户的意见。我们走访了六个街道，整理出分摊费用的三种办法。",
        "老小区 加装电梯 分摊费用",
    ),
    ("高铁站的导盲砖被行李箱磨平了一半，视障旅客说，出站口那一段最难走。", "导盲砖 视障旅客 高铁站"),
    ("用旧手机改装的门铃，能把门口的画面推送到微信，全部花费不到三十元。", "旧手机 门铃 改装"),
    ("水稻返青期遇上倒春寒，可以夜灌日排，水层保持三厘米，回暖后再追肥。", "水稻 倒春寒 追肥"),
    ("本文比较了三种中文分词器在病历文本上的表现，专有名词的切分错误占一半以上。", "中文分词 病历文本 切分错误"),
    ("外卖骑手的头盔里装上传感器，摔倒后十秒没有动静就自动报警。", "外卖骑手 头盔 传感器 自动报警"),
    ("第一次做戚风蛋糕总是塌，后来发现是蛋白霜没打到硬性发泡，烤箱温度也偏高。", "戚风蛋糕 蛋白霜 烤箱温度"),
    ("社区食堂开张半年，老人占了六成。菜价便宜靠的是中央厨房统一配送。", "社区食堂 中央厨房 养老"),
    ("为了降低冷链运输的损耗，果农把草莓先预冷两小时再装箱，坏果率降了一半。", "冷链运输 草莓 预冷 坏果率"),
    ("跑步膝盖疼，多半不是跑多了，而是股四头肌力量不够，建议每周加两次靠墙静蹲。", "跑步 股四头肌 靠墙静蹲 膝盖疼"),
    ("图书馆把借书证和校园卡合二为一，还书逾期会在手机上提醒。", "图书馆 借书证 校园卡"),
    ("我们用LoRA微调了一个小模型，只训练百分之二的参数，在客服工单分类上追平了全参数微调。", "LoRA 微调 客服工单"),
    ("皮影戏老艺人开了直播，最受欢迎的不是整本大戏，而是十分钟的雕刻过程。", "皮影戏 直播 非遗"),
    ("旧城改造保留了骑楼的外立面，里面换成钢结构，加了消防喷淋。", "旧城改造 骑楼 钢结构"),
    ("孩子三年级开始近视，医生建议每天户外活动两小时，比任何眼药水都管用。", "近视 户外活动"),
    ("这套灌溉系统靠土壤湿度传感器控制电磁阀，一季节水四成。", "灌溉系统 土壤湿度 电磁阀 节水"),
    ("夜班护士的排班表改成向后轮转以后，睡眠时间平均多了四十分钟。", "夜班护士 排班 睡眠时间"),
    ("电动车电池进电梯会被识别并停运，小区物业说，楼道充电少了九成。", "电动车 电池 楼道充电"),
    ("方言保护小组给七十岁以上的村民录音，两年攒下三百小时的吴语材料。", "方言保护 吴语 录音"),
    ("沙漠边上的光伏板下面种了苜蓿，挡风又固沙，羊还能进去吃草。", "光伏 苜蓿 固沙"),
    ("二手书店搬到地铁站里，书按心情分类，最先卖空的是“失眠时读”那一架。", "二手书店 地铁站"),
    ("论文提出一种轻量的目标检测网络，在树莓派上每秒能处理十五帧图像。", "目标检测 轻量网络 树莓派"),
    ("剧组用废纸壳做了整条老街的布景，拍完全部送回回收站。", "剧组 废纸壳 布景 环保"),
    ("乡村教师轮岗两年后愿意留下来的不到三成，住房和子女上学是主要原因。", "乡村教师 轮岗 住房"),
    ("糖尿病人吃粽子，可以选杂粮馅的小粽子，配一盘绿叶菜，餐后散步半小时。", "糖尿病 杂粮 粽子"),
    ("短视频里的方言配音火了，配音员却说，最难的是让外地人也听得懂笑点。", "短视频 方言配音"),
)


class KeywordOptions(Settings):
    """Options of keywords."""

    top: int = Field(5, ge=1, le=100, description="每篇最多给几个 | the most keywords a text is given")
    units: Units = Field(
        "pieces",
        description=(
            "按什么标注：characters 逐字，pieces 按分词器的词（边界可能落在词中间）"
            " | what is tagged: single characters, or the tokenizer's pieces (a boundary may fall inside one)"
        ),
    )


class TextInput(Settings):
    """One text."""

    text: str = Field(description="文本 | Text")


@dataclass(frozen=True, slots=True)
class Task:
    """BIO tags over the places of the keywords. Only what stands in the text can be found.

    A span is as likely as its tags are together, a keyword as likely as that one of its places is marked. `threshold`
    is the likelihood below which a keyword is not given, set on dev rows.
    """

    title: ClassVar[Title] = Title("关键词", "Keywords")
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "TOKEN_CLS"
    Options: ClassVar[type[Settings]] = KeywordOptions
    Input: ClassVar[type[Settings]] = TextInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"text": text, "keywords": words.split()} for text, words in _SAMPLES
    )
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = {"f1_at_k": True, "loss": False}
    measures: ClassVar[tuple[Measure, ...]] = KEYWORD_MEASURES

    options: KeywordOptions
    threshold: float = 0.0

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, KeywordOptions)
        return read_keywords(records, columns=columns, labelled=labelled)

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        return read_as(row, normaliser)

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, KeywordOptions)
        if not any(_places(row) for row in rows):
            raise DataError(
                f"{len(rows)} 行训练数据里，没有一个关键词出现在它的文本里",
                f"In {len(rows)} training rows no keyword stands in its text",
                todo_zh="这个任务在文本里标出关键词；检查 keywords 列，或者换成 seq2seq 任务把关键词写出来。",
                todo_en="This task marks keywords in the text: check the column, or have seq2seq write them.",
            )
        return cls(options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        threshold = float(state["threshold"])
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie between 0 and 1, not {threshold}")
        return cls(KeywordOptions(**state["options"]), threshold)

    def state(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return named_outputs(tag_names(_LABELS))

    def check(self, rows: Sequence[Row]) -> None:
        """Any keywords can be judged, also those that do not stand in the text: they count as missed."""

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        texts = [text_read(row) for row in rows]
        features = encode_pieces(tokenizer, texts, units=self.options.units, max_length=max_length)
        if rows and rows[0].target is not None:
            for feature, row in zip(features, rows, strict=True):
                feature["labels"] = token_tags(feature["starts"], row.text, _places(row), _LABELS)
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        return collate_pieces(features, tokenizer)

    def weight(self, feature: Feature) -> int:
        return sum(label >= 0 for label in feature["labels"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return tag_cross_entropy(piece_logits(model, batch), batch["labels"])

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return self.infer(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return by_character(piece_logits(model, batch), batch)

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        """The threshold with the best F1 on these rows: only between two answers can it matter where it lies."""
        ranked = [self._ranked(table, row) for table, row in zip(outputs, rows, strict=True)]
        scores = np.array([score for answer in ranked for score in answer.scores])
        right = np.array(
            [
                normal_form(word) in {normal_form(gold) for gold in row.target}
                for answer, row in zip(ranked, rows, strict=True)
                for word in answer.keywords
            ]
        )
        if not right.any():
            return self
        order = np.argsort(-scores, kind="stable")
        hits, said = np.cumsum(right[order]), np.arange(1, len(order) + 1)
        best = int(np.argmax(2 * hits / (said + sum(len(row.target) for row in rows))))
        return replace(self, threshold=float(scores[order][best]))

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [self._answer(table, row) for table, row in zip(outputs, rows, strict=True)]

    def blank_answer(self) -> Keywords:
        return Keywords((), (), say("空文本：没有关键词", "empty text: no keywords"))

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        found = [self._answer(table, row).keywords for table, row in zip(outputs, rows, strict=True)]
        texts, places = [row.text for row in rows], [_places(row) for row in rows]
        return {
            "f1_at_k": KEYWORD_MEASURES[0].value(counts(found, rows)),
            "loss": tag_loss(outputs, texts, places, _LABELS),
        }

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        table = counts([answer.keywords for answer in answers if isinstance(answer, Keywords)], rows)
        return dict.fromkeys((measure.name for measure in self.measures), table)

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        return {**keyword_baselines(rows, most=self.options.top)}

    def _answer(self, table: Output, row: Row) -> Keywords:
        ranked = self._ranked(table, row)
        kept = sum(score >= self.threshold for score in ranked.scores)
        return Keywords(ranked.keywords[:kept], ranked.scores[:kept])

    def _ranked(self, table: Output, row: Row) -> Keywords:
        """The likeliest keywords, at most `top`; several places of one make it likelier."""
        missed: dict[str, float] = {}
        spelt: dict[str, str] = {}
        for mark, likely in likely_spans(table, row.text, _LABELS[0]):
            form = normal_form(mark.text)
            if form:
                missed[form] = missed.get(form, 1.0) * (1 - likely)
                spelt.setdefault(form, mark.text)
        order = sorted(missed, key=lambda form: (missed[form], form))[: self.options.top]
        return Keywords(tuple(spelt[form] for form in order), tuple(1 - missed[form] for form in order))


def _places(row: Row) -> tuple[Mark, ...]:
    return occurrences(row.text, row.target)
