"""Regression: one text, or two, and a number: ratings, prices, how alike two sentences are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Value
from qingtiao.config import Settings
from qingtiao.data.columns import find_column, texts_of
from qingtiao.data.normalise import Normaliser
from qingtiao.data.pairs import first_column, second_column, with_second
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure
from qingtiao.models.heads import head_batch, head_logits, head_loss, labelled
from qingtiao.models.inputs import encode_pairs, encode_texts
from qingtiao.scale import MEASURES, SCORES, Baseline, Scale, number_in
from qingtiao.task import Feature, Output, Title
from qingtiao.types import Record, Row

_NUMBER_NAMES = (
    *("score", "rating", "stars", "star", "value", "similarity", "target", "label", "labels", "y", "price"),
    *("评分", "打分", "得分", "分数", "星级", "星", "相似度", "数值", "价格", "标签"),
)
_SAMPLES = (
    ("从头到尾挑不出毛病，会推荐给所有朋友", 5),
    ("等了半年终于买到，比想象的还好", 5),
    ("老师讲得透彻，孩子回家主动做题，太感谢了", 5),
    ("夜景绝了，风也舒服，这趟值了", 5),
    ("用了三年没坏过，又给爸妈买了一个", 5),
    ("师傅准点到，装得又快又利索👍", 5),
    ("很满意，就是包装盒有一点压痕", 4),
    ("味道不错，分量再足一点就完美了", 4),
    ("整体挺好，个别章节翻译得生硬", 4),
    ("续航比宣传的短些，其他都不错", 4),
    ("位置方便，早餐種類再多一點就好", 4),
    ("剧情紧凑，结尾收得有点急", 4),
    ("一分钱一分货吧，没什么惊喜也没什么毛病", 3),
    ("前半本好看，后半本在凑字数", 3),
    ("服务热情，菜一般", 3),
    ("能用，按键手感一般般", 3),
    ("颜色和图片有差距，懒得退了", 3),
    ("不功不過，看個熱鬧", 3),
    ("隔音差，床倒是舒服", 3),
    ("用了一个月就开始卡，客服让重启", 2),
    ("等位一小时，吃饭二十分钟，味道还淡", 2),
    ("材质偏薄，起球严重，只能在家穿", 2),
    ("广告比正片长，勉强看完", 2),
    ("房间有霉味，换了一间好一些", 2),
    ("说明书全是英文，装了一下午", 2),
    ("到手就是坏的，退款拖了两周", 1),
    ("吃完全家拉肚子，再也不来", 1),
    ("虚假宣传，客服已读不回😡", 1),
    ("错字连篇，情节抄的，浪费时间", 1),
    ("臨時加價，司機態度惡劣", 1),
)


class RegressionOptions(Settings):
    """Options of regression."""

    pair: bool | Literal["auto"] = Field(
        "auto",
        description=(
            "是否读两段文本；auto：有 text_b 这样的列就读 | whether two texts are read; auto: where there is a text_b"
        ),
    )


class NumberInput(Settings):
    """One text, or two."""

    text: str = Field(description="文本 | Text")
    text_b: str = Field("", description="第二段文本，训练时有才填 | Second text, if training had one")


@dataclass(frozen=True, slots=True)
class Task:
    """A head with one output, trained by squared error on numbers brought to mean 0 and deviation 1."""

    title: ClassVar[Title] = Title("回归（打分）", "Regression")
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "SEQ_CLS"
    Options: ClassVar[type[Settings]] = RegressionOptions
    Input: ClassVar[type[Settings]] = NumberInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple({"text": text, "score": n} for text, n in _SAMPLES)
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = SCORES
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    scale: Scale
    options: RegressionOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, RegressionOptions)
        records = iter(records)
        head = next(records, None)
        if head is None:
            return []
        names, source = list(head.fields), head.place.source
        number = None
        if labelled:
            kind = ("数值列", "column of numbers")
            wanted = columns.get("label")
            number = find_column(names, wanted=wanted, usual=_NUMBER_NAMES, source=source, role="label", kind=kind)
        texts = [name for name in names if name != number]
        second = _second(texts, options, columns, source)
        first = columns.get("text") if second is None else first_column(texts, columns.get("text"), source=source)
        rows = texts_of(chain([head], records), text_column=first)
        if second is not None:
            rows = [with_second(row, second) for row in rows]
        return rows if number is None else [_with_number(row, number) for row in rows]

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        if row.parts:
            return row.with_parts([normaliser(part) for part in row.parts])
        return row.with_text(normaliser(row.text))

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, RegressionOptions)
        # What `auto` found holds from now on: rows to be judged must have as many texts.
        return cls(Scale.fit(rows), options.model_copy(update={"pair": bool(rows[0].parts)}))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(Scale.from_state(state), RegressionOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {**self.scale.state(), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse rows of one text where training saw two, or the reverse; `parse` has refused what is no number."""
        odd = next((row for row in rows if bool(row.parts) != self.options.pair), None)
        if odd is not None:
            here, there = ("两段", "一段") if odd.parts else ("一段", "两段")
            raise DataError(
                f"{odd.place} 有{here}文本，训练数据每行是{there}",
                f"{odd.place} holds {1 + bool(odd.parts)} text(s), the training rows {2 - bool(odd.parts)}",
                todo_zh="用 --column text_b=列名 指明第二段文本，或者设 task_options.pair=false 只读一段。",
                todo_en="Name the second text with --column text_b=COLUMN, or read one with task_options.pair=false.",
            )

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        if rows and rows[0].parts:
            features = encode_pairs(tokenizer, [row.parts for row in rows], max_length=max_length)
        else:
            features = encode_texts(tokenizer, [row.text for row in rows], max_length=max_length)
        if rows and rows[0].target is not None:
            return labelled(features, self.scale.standard(rows).tolist())
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        return head_batch(features, tokenizer, dtype=torch.float32)

    def weight(self, feature: Feature) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return head_loss(model, batch)

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return head_logits(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return head_logits(model, batch)

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        return self

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [*self.scale.decode(np.concatenate(outputs))]

    def blank_answer(self) -> Value:
        return self.scale.blank_answer()

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        return self.scale.scores(np.concatenate(outputs), rows)

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        return self.scale.sums([answer for answer in answers if isinstance(answer, Value)], rows)

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        return self.scale.baselines(rows, seed=seed)


def _second(names: Sequence[str], options: RegressionOptions, columns: Mapping[str, str], source: str) -> str | None:
    """The column of the second text, where one is to be read."""
    if options.pair is False:
        return None
    # Asked for outright, it must be there: naming it makes its absence an error.
    wanted = columns.get("text_b")
    found = second_column(names, wanted, source=source)
    return second_column(names, "text_b", source=source) if found is None and options.pair is True else found


def _with_number(row: Row, column: str) -> Row:
    fields = dict(row.fields)
    target = number_in(fields.pop(column, None), column=column, place=row.place)
    return replace(row, target=target, fields=fields)
