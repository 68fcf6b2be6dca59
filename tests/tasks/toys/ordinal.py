"""Grades in order, as somebody outside the project might add them: the whole of a new task is this one file.

`test_new_task.py` puts it beside the shipped tasks and runs the contract suite over it.

Source of the method: Niu et al., Ordinal Regression with Multiple Output CNN, CVPR 2016: of k grades, k - 1 outputs
each say whether the grade is above theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Value
from qingtiao.config import Settings
from qingtiao.data.columns import texts_of, to_rows
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure, mean_of
from qingtiao.models.inputs import encode_texts, pad
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, Row

_GRADED = (
    ("整套题做下来行云流水，步骤一步不落", "优"),
    ("讲解透彻，板书工整，学生都听懂了", "优"),
    ("实验设计严谨，数据翔实，结论站得住", "优"),
    ("文笔老练，立意新，读完意犹未尽", "优"),
    ("提前三天交稿，一个错字也没有", "优"),
    ("论证有力，还补了两个反例", "优"),
    ("答得基本正确，最后一步符号写反了", "良"),
    ("结构清楚，例子再多一个更好", "良"),
    ("数据齐全，图注有两处没写单位", "良"),
    ("按时完成，个别地方略显仓促", "良"),
    ("思路是对的，表达有点绕", "良"),
    ("读音标准，语速偏快", "良"),
    ("只做对了一半，后面没写", "差"),
    ("抄了同桌的答案，连错都一样", "差"),
    ("逾期一周，附件还打不开", "差"),
    ("跑题了，通篇没有论点", "差"),
    ("图表张冠李戴，结论无从谈起", "差"),
    ("上课睡觉，作业空白", "差"),
    ("字迹潦草，答非所问", "差"),
    ("缺考两次，没有请假", "差"),
)


class OrdinalOptions(Settings):
    """Options of ordered grades."""

    grades: tuple[str, ...] = Field(("差", "良", "优"), description="从低到高的等级 | the grades from low to high")


class TextInput(Settings):
    """One text."""

    text: str = Field(description="文本 | Text")


@dataclass(frozen=True, slots=True)
class Task:
    """One output for each step from a grade to the next."""

    title: ClassVar[Title] = Title("有序等级", "Ordinal grades")
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "SEQ_CLS"
    Options: ClassVar[type[Settings]] = OrdinalOptions
    Input: ClassVar[type[Settings]] = TextInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple({"text": text, "label": grade} for text, grade in _GRADED)
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = {"off_by": False, "loss": False}
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("off_by", "平均差几级", "grades off", mean_of(0, 1), higher_is_better=False, share=False),
    )

    options: OrdinalOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.options.grades

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        if not labelled:
            return texts_of(records, text_column=columns.get("text"))
        return to_rows(records, text_column=columns.get("text"), label_column=columns.get("label"))

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        return row.with_text(normaliser(row.text))

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, OrdinalOptions)
        task = cls(options)
        task.check(rows)
        return task

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(OrdinalOptions(grades=tuple(state["grades"])))

    def state(self) -> dict[str, Any]:
        return {"grades": list(self.labels)}

    def model_options(self) -> dict[str, Any]:
        return {"num_labels": len(self.labels) - 1}

    def check(self, rows: Sequence[Row]) -> None:
        odd = next((row for row in rows if row.target not in self.labels), None)
        if odd is not None:
            raise DataError(
                f"{odd.place}：没有等级 {odd.target}",
                f"{odd.place}: there is no grade {odd.target}",
                todo_zh="用 task_options.grades 从低到高列出等级。",
                todo_en="List the grades from low to high in task_options.grades.",
            )

    def _grades(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        return np.array([self.labels.index(str(row.target)) for row in rows])

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        features = encode_texts(tokenizer, [row.text for row in rows], max_length=max_length)
        if rows and rows[0].target is not None:
            for feature, grade in zip(features, self._grades(rows).tolist(), strict=True):
                feature["labels"] = [float(grade > step) for step in range(len(self.labels) - 1)]
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        batch = pad(features, tokenizer)
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([feature["labels"] for feature in features])
        return batch

    def weight(self, feature: Feature) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return torch.nn.functional.binary_cross_entropy_with_logits(model(**inputs).logits.float(), batch["labels"])

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return list(model(**inputs).logits.float().cpu().numpy())

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return self.judge(model, batch)

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        return replace(self)

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [Value(float((output > 0).sum())) for output in outputs]

    def blank_answer(self) -> Value:
        return Value(0.0, "没有内容 | nothing in it")

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        logits, grades = np.stack(outputs).astype(np.float64), self._grades(rows)
        above = grades[:, None] > np.arange(logits.shape[1])
        loss = np.logaddexp(0, np.where(above, -logits, logits)).mean()
        return {"off_by": float(np.abs((logits > 0).sum(1) - grades).mean()), "loss": float(loss)}

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        told = np.array([answer.value for answer in answers if isinstance(answer, Value)])
        return {"off_by": np.column_stack([np.abs(told - self._grades(rows)), np.ones(len(rows))])}

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        (usual, _), *_ = Counter(self._grades(rows).tolist()).most_common(1)
        return {"majority": lambda asked: [Value(float(usual)) for _ in asked]}
