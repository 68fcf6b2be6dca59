"""Token classification: names of people, places … in a text, as characters from and to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Span, Spans
from qingtiao.classes import named_outputs
from qingtiao.config import Settings
from qingtiao.data.marks import Mark, marks_of, read_marked
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.dictionary import Dictionary
from qingtiao.evaluate.measures import Measure
from qingtiao.language import say
from qingtiao.models.pieces import (
    Units,
    by_character,
    collate_pieces,
    encode_pieces,
    piece_logits,
    tag_cross_entropy,
)
from qingtiao.spans import (
    SPAN_MEASURES,
    counts,
    decode_table,
    read_as,
    refuse_slipped,
    tag_loss,
    tag_names,
    text_read,
    token_tags,
)
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, Row

# [text|label] marks an entity.
_SAMPLES = (
    "昨晚[林晓|人名]从[成都|地名]飞到[哈尔滨|地名]，落地就冻得直跺脚",
    "[青禾小学|机构]的[周敏|人名]老师教了三十年语文，下个月退休",
    "[陈大勇|人名]在[滨江图书馆|机构]当志愿者，周末都在还书台",
    "去[大理|地名]那趟，最难忘的是[洱海|地名]边上的日出",
    "[望山科技|机构]在[苏州|地名]开了新厂，厂长还是[高洁|人名]",
    "快递写的是[赵磊|人名]收，送到了隔壁[绿源超市|机构]",
    "[欧阳倩|人名]和[马跃|人名]在[重庆|地名]合开了一家面馆",
    "[市第三医院|机构]的号太难挂了，最后挂了[孙志远|人名]的专家号",
    "听[何苗|人名]说，[松林中学|机构]今年不招住校生",
    "从[厦门|地名]坐动车到[泉州|地名]，半个小时都不用",
    "[江城日报|机构]记者[罗一鸣|人名]：大桥年底通车",
    "[远航物流|机构]把我的包裹发到[银川|地名]去了，我人在[南宁|地名]啊",
    "[唐婉|人名]考上了[海岳大学|机构]，全家人去[青岛|地名]玩了一圈",
    "主持人是[白雪|人名]，嘉宾请到了[晨星乐队|机构]",
    "下雪天的[长白山|地名]真的美，就是冷",
    "[新兴社区卫生站|机构]下午三点打疫苗，找[段姐|人名]登记",
    "[吴刚|人名]！你的外卖放[东门|地名]岗亭了",
    "这批茶叶产自[武夷山|地名]，由[岩韵茶社|机构]独家包装",
    "[韩冰|人名]辞了[华灯影业|机构]的工作，回[洛阳|地名]开民宿",
    "会议改到周四，[蓝海银行|机构]的[苏经理|人名]也会来",
    "今天不想出门，在家煮了碗面",
    "这件外套洗了两次就起球，客服一直不回",
    "[北湖公园|地名]晚上有灯会，[王奶奶|人名]带孙子先去占位置",
    "[谢婷|人名]在[拉萨|地名]支教，一年只回一次[长沙|地名]",
    "[城建集团|机构]中标了[白云路|地名]的改造工程",
    "那场球[丁一凡|人名]进了两个，[红星队|机构]还是输了",
    "[柳州|地名]的螺蛳粉，[阿May|人名]说少放醋才地道",
    "据[气象局|机构]通报，[舟山|地名]今夜有十级大风",
    "我把钥匙留给了[邻里驿站|机构]，报[龙海|人名]的名字就能取",
    "[宋佳音|人名]的新书签售会定在[西安|地名][晓风书屋|机构]",
)


def _sample(marked: str) -> dict[str, Any]:
    text, entities = "", []
    for piece in re.split(r"(\[[^\]]+\])", marked):
        words, _, label = piece.strip("[]").partition("|")
        if label:
            entities.append({"start": len(text), "end": len(text) + len(words), "label": label})
        text += words
    return {"text": text, "entities": entities}


class TokenOptions(Settings):
    """Options of token classification."""

    units: Units = Field(
        "characters",
        description=(
            "按什么标注：characters 逐字，pieces 按分词器的词（边界可能落在词中间）"
            " | what is tagged: single characters, or the tokenizer's pieces (a boundary may fall inside one)"
        ),
    )
    label_names: dict[str, str] = Field(
        default_factory=dict, description="给标签起名，例如 PER: 人名 | names for the labels as they stand in the file"
    )


class TextInput(Settings):
    """One text."""

    text: str = Field(description="文本 | Text")


@dataclass(frozen=True, slots=True)
class Task:
    """BIO tags over the pieces of a text, decoded to the likeliest valid sequence. `entities` are the label names.

    Offsets are those of the text as it was given: what the model reads is cleaned character by character, and only
    where one character stays one. Long texts are read in overlapping windows; nothing is cut off.
    """

    title: ClassVar[Title] = Title("序列标注", "Token classification")
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "TOKEN_CLS"
    Options: ClassVar[type[Settings]] = TokenOptions
    Input: ClassVar[type[Settings]] = TextInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(map(_sample, _SAMPLES))
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = {"span_f1": True, "loss": False}
    measures: ClassVar[tuple[Measure, ...]] = SPAN_MEASURES

    entities: tuple[str, ...]
    options: TokenOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.entities

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, TokenOptions)
        rows = read_marked(records, columns=columns, labelled=labelled)
        names = options.label_names
        return [_renamed(row, names) for row in rows] if names and labelled else rows

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        refuse_slipped(row)
        return read_as(row, normaliser)

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, TokenOptions)
        found = sorted({mark.label for row in rows for mark in marks_of(row)})
        if not found:
            raise DataError(
                f"{len(rows)} 行训练数据里没有标出任何实体",
                f"Nothing is marked in the {len(rows)} training rows",
                todo_zh="检查 entities 或 tags 列：全是空的或全是 O。",
                todo_en="Check the column of entities or tags: it is empty, or all O.",
            )
        return cls(tuple(found), options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        entities = state["entities"]
        if not entities or len(set(entities)) != len(entities) or not all(isinstance(name, str) for name in entities):
            raise ValueError(f"entities must be different names, not {entities!r}")
        return cls(tuple(entities), TokenOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {"entities": list(self.entities), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return named_outputs(tag_names(self.entities))

    def check(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for mark in marks_of(row):
                if mark.label not in self.entities:
                    raise _unknown(row, mark, self.entities)

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        texts = [text_read(row) for row in rows]
        features = encode_pieces(tokenizer, texts, units=self.options.units, max_length=max_length)
        if rows and rows[0].target is not None:
            for feature, text, row in zip(features, texts, rows, strict=True):
                feature["labels"] = token_tags(feature["starts"], text, marks_of(row), self.entities)
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
        return self

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [_answer(decode_table(table, row.text, self.entities)) for table, row in zip(outputs, rows, strict=True)]

    def blank_answer(self) -> Spans:
        return Spans((), say("空文本：没有可标的字", "empty text: nothing to mark"))

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        texts, gold = [row.text for row in rows], [marks_of(row) for row in rows]
        found = [decode_table(table, text, self.entities) for table, text in zip(outputs, texts, strict=True)]
        return {
            "span_f1": SPAN_MEASURES[0].value(counts(found, gold, self.entities)),
            "loss": tag_loss(outputs, texts, gold, self.entities),
        }

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        self.check(rows)
        found = [answer.spans for answer in answers if isinstance(answer, Spans)]
        table = counts(found, [marks_of(row) for row in rows], self.entities)
        return dict.fromkeys((measure.name for measure in self.measures), table)

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        dictionary = Dictionary.fit([row.text for row in rows], [marks_of(row) for row in rows])
        return {"dictionary": lambda asked: [_answer(dictionary.find(row.text)) for row in asked]}


def _answer(marks: Iterable[Mark]) -> Spans:
    return Spans(tuple(Span(*mark) for mark in marks))


def _renamed(row: Row, names: Mapping[str, str]) -> Row:
    marks = (mark._replace(label=names.get(mark.label, mark.label)) for mark in marks_of(row))
    return replace(row, target=tuple(marks))


def _unknown(row: Row, mark: Mark, labels: Sequence[str]) -> DataError:
    return DataError(
        f"{row.place}：{mark.text!r} 的标签 {mark.label!r} 不在训练时的标签里（{'、'.join(labels)}）",
        f"{row.place}: the label {mark.label!r} of {mark.text!r} is none of the trained ones ({', '.join(labels)})",
        todo_zh="改正这一处；同一类有两个名字的话，训练时加 --set task_options.label_names.旧=新。",
        todo_en="Correct it; a class of two names is trained with --set task_options.label_names.OLD=NEW.",
    )
