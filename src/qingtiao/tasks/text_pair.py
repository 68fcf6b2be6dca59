"""Text pairs: two texts, one label out of two or more; entailment, paraphrase, does the answer fit the question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Prediction
from qingtiao.classes import SCORES, Baseline, Classes
from qingtiao.config import Settings
from qingtiao.data.normalise import Normaliser
from qingtiao.data.pairs import pairs_of
from qingtiao.evaluate.calibrate import fit_temperature
from qingtiao.evaluate.measures import Measure
from qingtiao.models.heads import head_batch, head_logits, head_loss, labelled
from qingtiao.models.inputs import encode_pairs
from qingtiao.task import Feature, Output, Title
from qingtiao.types import Record, Row

_ALIKE = (
    ("怎么修改收货地址", "下单之后还能换个地址收货吗"),
    ("这个手机支持无线充电吗", "不插线能给这部手机充电不"),
    ("明天会下雨吗", "明天出门要不要带伞"),
    ("孩子发烧三十九度怎么办", "小朋友烧到39度该怎么处理"),
    ("附近有没有好吃的火锅", "周边哪家火锅味道不错"),
    ("信用卡忘记还款会怎样", "没按时还信用卡有什么后果"),
    ("从南站到机场要多久", "去机场，南站出发大概几个小时"),
    ("電腦開機很慢", "我的电脑要好几分钟才能进系统"),
    ("猫不吃猫粮了", "家里的猫突然对猫粮没兴趣"),
    ("请问几点关门", "你们营业到什么时候"),
    ("能不能开发票", "可以给我开张票据报销吗"),
    ("这款外套掉色吗", "洗的时候衣服会不会褪色"),
    ("怎样才能早点睡着", "有什么办法让入睡快一些"),
    ("我想把会员退掉", "如何取消自动续费的会员"),
    ("番茄炒蛋先放哪个", "做西红柿炒鸡蛋，先下蛋还是先下番茄"),
)
_UNLIKE = (
    ("怎么修改收货地址", "怎么修改登录密码"),
    ("这个手机支持无线充电吗", "这个手机支持双卡吗"),
    ("明天会下雨吗", "昨天下雨了吗"),
    ("孩子发烧三十九度怎么办", "孩子不爱吃饭怎么办"),
    ("附近有没有好吃的火锅", "在家怎么炒火锅底料"),
    ("信用卡忘记还款会怎样", "信用卡怎么提高额度"),
    ("从南站到机场要多久", "从机场到南站坐几路车"),
    ("電腦開機很慢", "电脑关机之后风扇还在转"),
    ("猫不吃猫粮了", "狗不吃狗粮了"),
    ("请问几点关门", "请问店在几楼"),
    ("能不能开发票", "能不能用优惠券"),
    ("这款外套掉色吗", "这款外套有没有黑色"),
    ("怎样才能早点睡着", "怎样才能早点起床"),
    ("我想把会员退掉", "会员有什么好处"),
    ("番茄炒蛋先放哪个", "番茄和鸡蛋能一起吃吗"),
)


class PairOptions(Settings):
    """Options of text pairs."""

    label_names: dict[str, str] = Field(
        default_factory=dict, description="给标签起名，例如 1: 同义 | names for the labels as they stand in the file"
    )


class PairInput(Settings):
    """Two texts."""

    text: str = Field(description="文本一 | First text")
    text_b: str = Field(description="文本二 | Second text")


@dataclass(frozen=True, slots=True)
class Task:
    """A sequence-classification head over two texts, which it reads in their order."""

    title: ClassVar[Title] = Title("文本对分类", "Text-pair classification")
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "SEQ_CLS"
    Options: ClassVar[type[Settings]] = PairOptions
    Input: ClassVar[type[Settings]] = PairInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        *({"text": first, "text_b": second, "label": "同义"} for first, second in _ALIKE),
        *({"text": first, "text_b": second, "label": "不同"} for first, second in _UNLIKE),
    )
    exclusive: ClassVar[bool] = True
    scores: ClassVar[Mapping[str, bool]] = SCORES
    measures: ClassVar[tuple[Measure, ...]] = ()

    classes: Classes
    options: PairOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes.labels

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, PairOptions)
        rows = pairs_of(records, columns=columns, labelled=labelled)
        names = options.label_names
        return [replace(row, target=names.get(row.target, row.target)) for row in rows] if names else rows

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        return row.with_parts([normaliser(part) for part in row.parts])

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, PairOptions)
        return cls(Classes.fit(rows), options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(Classes.from_state(state), PairOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {**self.classes.state(), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return self.classes.model_options()

    def check(self, rows: Sequence[Row]) -> None:
        self.classes.ids(rows)

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        features = encode_pairs(tokenizer, [row.parts for row in rows], max_length=max_length)
        if rows and rows[0].target is not None:
            return labelled(features, self.classes.ids(rows).tolist())
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        return head_batch(features, tokenizer, dtype=torch.long)

    def weight(self, feature: Feature) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return head_loss(model, batch)

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return head_logits(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return head_logits(model, batch)

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        temperature = fit_temperature(np.stack(outputs), self.classes.ids(rows))
        return replace(self, classes=replace(self.classes, temperature=temperature))

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [*self.classes.decode(np.stack(outputs))]

    def blank_answer(self) -> Prediction:
        return self.classes.blank_answer()

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        return self.classes.scores(np.stack(outputs), rows)

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        return {}

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        """TF-IDF of both texts and of what they share, and the majority class."""
        from qingtiao.evaluate.linear import fit_linear_classes

        gold, classes = self.classes.ids(rows), self.classes
        linear = fit_linear_classes([row.parts for row in rows], gold, classes=len(self.labels), seed=seed)
        shares = np.array(classes.shares)
        return {
            "tfidf": lambda asked: [classes.answer(p) for p in linear.predict_proba([row.parts for row in asked])],
            "majority": lambda asked: [classes.answer(shares) for _ in asked],
        }
