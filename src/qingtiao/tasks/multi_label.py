"""Multi-label classification: one text, any number of labels, none included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, LabelSet
from qingtiao.config import Settings
from qingtiao.data.columns import find_label_column, texts_of
from qingtiao.data.normalise import Normaliser
from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.thresholds import Mode
from qingtiao.label_sets import MEASURES, SCORES, Baseline, LabelSets, labels_in
from qingtiao.models.heads import head_batch, head_logits, head_loss, labelled
from qingtiao.models.inputs import encode_texts
from qingtiao.task import Feature, Output, Title
from qingtiao.types import Record, Row

_SAMPLES = (
    ("汤底很香，就是等了快一个小时才送到", "味道|配送"),
    ("骑手冒着大雨准时送来，还帮我把垃圾带下楼了", "配送"),
    ("两个人点了三个菜，一百二，这个价在市中心真不贵", "价格"),
    ("肉串烤得外焦里嫩，老板还送了一碟花生", "味道|服务"),
    ("桌子黏糊糊的，叫了三次才有人来擦", "环境|服务"),
    ("盒子压扁了，汤洒了一半", "配送"),
    ("甜品做得精致，店里放着老唱片，坐一下午很舒服", "味道|环境"),
    ("涨价以后一份只剩六个饺子，馅还变咸了", "价格|味道"),
    ("收银员头也不抬，问一句顶一句", "服务"),
    ("靠窗能看到江，晚上灯一亮特别好看", "环境"),
    ("套餐便宜，量也足，学生党很友好", "价格"),
    ("鱼不新鲜，一股土腥味", "味道"),
    ("地址写得清清楚楚，他还是送到隔壁小区去了", "配送"),
    ("包间隔音差，隔壁划拳听得一清二楚，服务员也不管", "环境|服务"),
    ("人均三百，味道却不如楼下的小面馆", "价格|味道"),
    ("帮我们拍照，走的时候还送了孩子一个气球", "服务"),
    ("第一次来，朋友推荐的", ""),
    ("配送费比菜还贵，到手已经凉透了", "价格|配送|味道"),
    ("店面不大，收拾得很干净，洗手间都没有异味", "环境"),
    ("辣得刚刚好，米饭可以免费续", "味道|价格"),
    ("提前打电话说会晚十分钟，态度很好，可以理解", "配送|服务"),
    ("下周还要在附近出差", ""),
    ("空調開得太冷，說了兩遍也沒有人理", "环境|服务"),
    ("豆漿是現磨的，油條酥得掉渣", "味道"),
    ("优惠券用不了，找客服半天没人回", "价格|服务"),
    ("保温袋包了两层，打开还烫嘴👍", "配送|味道"),
    ("停车要排队，店里又挤又吵", "环境"),
    ("同样的分量，对面便宜一半", "价格"),
    ("送餐的小哥爬了七楼，笑着说祝您用餐愉快", "配送|服务"),
    ("随便写几个字凑够字数", ""),
)


class MultiLabelOptions(Settings):
    """Options of multi-label classification."""

    separators: str = Field("|;；、,，", description="一格里隔开标签的符号，任一个都算 | characters that divide labels")
    thresholds: Mode = Field(
        "global",
        description=(
            "在验证集上定多大概率才算有这个标签：global 共用一个，label 各用各的，half 不定、用 0.5"
            " | thresholds fitted on dev rows: one for all labels, one for each, or 0.5"
        ),
    )
    label_names: dict[str, str] = Field(
        default_factory=dict, description="给标签起名，例如 0: 负面 | names for the labels as they stand in the file"
    )


class TextInput(Settings):
    """One text."""

    text: str = Field(description="文本 | Text")


@dataclass(frozen=True, slots=True)
class Task:
    """A head with an output of its own for each label over one text; binary cross-entropy, thresholds from dev rows."""

    title: ClassVar[Title] = Title("多标签分类", "Multi-label classification")
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "SEQ_CLS"
    Options: ClassVar[type[Settings]] = MultiLabelOptions
    Input: ClassVar[type[Settings]] = TextInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"text": text, "labels": labels.split("|") if labels else []} for text, labels in _SAMPLES
    )
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = SCORES
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    sets: LabelSets
    options: MultiLabelOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.sets.labels

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, MultiLabelOptions)
        rows = texts_of(records, text_column=columns.get("text"))
        if not labelled or not rows:
            return rows
        found = find_label_column(list(rows[0].fields), wanted=columns.get("label"), source=rows[0].place.source)
        return [_with_labels(row, found, options) for row in rows]

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        return row.with_text(normaliser(row.text))

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, MultiLabelOptions)
        return cls(LabelSets.fit(rows), options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(LabelSets.from_state(state), MultiLabelOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {**self.sets.state(), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return self.sets.model_options()

    def check(self, rows: Sequence[Row]) -> None:
        self.sets.table(rows)

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        features = encode_texts(tokenizer, [row.text for row in rows], max_length=max_length)
        if rows and rows[0].target is not None:
            return labelled(features, self.sets.table(rows).tolist())
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
        return replace(self, sets=self.sets.tuned(np.stack(outputs), rows, mode=self.options.thresholds))

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [*self.sets.decode(np.stack(outputs))]

    def blank_answer(self) -> LabelSet:
        return self.sets.blank_answer()

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        return self.sets.scores(np.stack(outputs), rows, mode=self.options.thresholds)

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        return self.sets.sums([answer for answer in answers if isinstance(answer, LabelSet)], rows)

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        return self.sets.baselines(rows, mode=self.options.thresholds, seed=seed)


def _with_labels(row: Row, column: str, options: MultiLabelOptions) -> Row:
    """The row with its label column as target; a row without labels is a row like any other."""
    fields = dict(row.fields)
    cell = fields.pop(column, None)
    target = labels_in(cell, separators=options.separators, names=options.label_names, place=row.place)
    return replace(row, target=target, fields=fields)
