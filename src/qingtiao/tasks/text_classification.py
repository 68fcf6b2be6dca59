"""Text classification: one text, one label out of two or more."""

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
from qingtiao.data.columns import texts_of, to_rows
from qingtiao.data.normalise import Normaliser
from qingtiao.evaluate.calibrate import fit_temperature
from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.metrics import Ints
from qingtiao.models.inputs import encode_texts, pad
from qingtiao.task import Feature, Output, Title
from qingtiao.types import Record, Row

_POSITIVE = (
    "汤底熬得很浓，面也筋道，吃完浑身都暖和",
    "前台听说我们赶早班车，提前把早餐打包好了，很贴心",
    "翻了两页就停不下来，凌晨三点才合上书",
    "这把伞风再大也没翻过，值这个价",
    "更新之后启动快多了，闪退也没再遇到",
    "導遊講得又清楚又有趣，老人小孩都聽得入迷",
    "鞋底软，走了一整天脚都不疼",
    "画面和配乐都在线，结尾我没忍住哭了",
    "不是没挑过毛病，是真的挑不出来",
    "客服十分钟就解决了，态度还特别好👍",
    "本来没抱期待，结果真香",
    "屏幕细腻，电池能撑两天，满意",
)
_NEGATIVE = (
    "等了一个半小时，端上来的菜是凉的",
    "墙薄得能听见隔壁打电话，一夜没睡好",
    "错字多到怀疑没人校对过，退货了",
    "洗一次就缩水，现在只能给外甥穿",
    "打开就要权限，不给就退出，果断卸载",
    "排隊三小時，玩了三分鐘，再也不來",
    "除了包装好看，没有一处像样",
    "充电半小时，通话五分钟，可真是太耐用了",
    "剧情前后矛盾，看到一半就睡着了",
    "这价格买它纯属智商税，避雷",
    "耳机用了两周左边就没声音了😡",
    "说好的海景房，窗外是一堵墙，服了",
)


class ClassificationOptions(Settings):
    """Options of text classification."""

    label_names: dict[str, str] = Field(
        default_factory=dict, description="给标签起名，例如 0: 负面 | names for the labels as they stand in the file"
    )


class TextInput(Settings):
    """One text."""

    text: str = Field(description="文本 | Text")


@dataclass(frozen=True, slots=True)
class Task:
    """A sequence-classification head over one text."""

    title: ClassVar[Title] = Title("文本分类", "Text classification")
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "SEQ_CLS"
    Options: ClassVar[type[Settings]] = ClassificationOptions
    Input: ClassVar[type[Settings]] = TextInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        *({"text": text, "label": "正面"} for text in _POSITIVE),
        *({"text": text, "label": "负面"} for text in _NEGATIVE),
    )
    exclusive: ClassVar[bool] = True
    scores: ClassVar[Mapping[str, bool]] = SCORES
    measures: ClassVar[tuple[Measure, ...]] = ()

    classes: Classes
    options: ClassificationOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes.labels

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, ClassificationOptions)
        if not labelled:
            return texts_of(records, text_column=columns.get("text"))
        rows = to_rows(records, text_column=columns.get("text"), label_column=columns.get("label"))
        names = options.label_names
        return [replace(row, target=names.get(row.target, row.target)) for row in rows] if names else rows

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        return row.with_text(normaliser(row.text))

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, ClassificationOptions)
        return cls(Classes.fit(rows), options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(Classes.from_state(state), ClassificationOptions(**state.get("options", {})))

    def state(self) -> dict[str, Any]:
        return {**self.classes.state(), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return self.classes.model_options()

    def check(self, rows: Sequence[Row]) -> None:
        self.gold(rows)

    def gold(self, rows: Sequence[Row]) -> Ints:
        """Class ids of the rows' targets, shape (rows,)."""
        return self.classes.ids(rows)

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        features = encode_texts(tokenizer, [row.text for row in rows], max_length=max_length)
        if rows and rows[0].target is not None:
            for feature, gold in zip(features, self.classes.ids(rows).tolist(), strict=True):
                feature["labels"] = gold
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        batch = pad(features, tokenizer)
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([feature["labels"] for feature in features])
        return batch

    def weight(self, feature: Feature) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        loss: torch.Tensor = model(**batch).loss
        return loss

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return self.infer(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return list(model(**inputs).logits.float().cpu().numpy())

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
        return self.classes.baselines(rows, seed=seed)
