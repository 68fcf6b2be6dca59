"""Text classification: one text, one label out of two or more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.config import Settings
from qingtiao.data.columns import to_rows
from qingtiao.errors import DataError
from qingtiao.evaluate.metrics import accuracy, macro_f1, negative_log_likelihood
from qingtiao.language import say
from qingtiao.task import Title
from qingtiao.types import Prediction, Record, Row

_MOST_CLASSES = 1000

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


@dataclass(frozen=True, slots=True)
class Task:
    """`shares` is each label's share of the training rows: the answer when a text says nothing."""

    title: ClassVar[Title] = Title("文本分类", "Text classification")
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    peft_task_type: ClassVar[str] = "SEQ_CLS"
    Options: ClassVar[type[Settings]] = ClassificationOptions
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        *({"text": text, "label": "正面"} for text in _POSITIVE),
        *({"text": text, "label": "负面"} for text in _NEGATIVE),
    )

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    options: ClassificationOptions

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, text_column: str | None, label_column: str | None
    ) -> list[Row]:
        assert isinstance(options, ClassificationOptions)
        rows = to_rows(records, text_column=text_column, label_column=label_column)
        if not options.label_names:
            return rows
        names = options.label_names
        return [Row(r.text, names.get(r.target, r.target), r.place, r.fields) for r in rows]

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, ClassificationOptions)
        counts = Counter(str(row.target) for row in rows)
        if len(counts) < 2:
            raise DataError(
                f"训练数据里只有一种标签：{next(iter(counts), '（没有行）')}",
                f"The training rows hold only one label: {next(iter(counts), '(no rows)')}",
                todo_zh="分类至少要两种标签；检查 --label-column 指的是不是标签列。",
                todo_en="Classification needs two labels or more; check --label-column.",
            )
        if len(counts) > min(_MOST_CLASSES, max(2, len(rows) // 2)):
            raise DataError(
                f"{len(rows)} 行里有 {len(counts)} 种标签，不像分类",
                f"{len(counts)} labels in {len(rows)} rows do not look like classification",
                todo_zh="检查 --label-column：现在这一列更像编号或文本。",
                todo_en="Check --label-column: the column looks like ids or text.",
            )
        labels = sorted(counts, key=_label_order)
        return cls(tuple(labels), tuple(counts[label] / len(rows) for label in labels), options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        labels, shares = state["labels"], state["shares"]
        if len(set(labels)) != len(labels) or len(labels) < 2 or not all(isinstance(name, str) for name in labels):
            raise ValueError(f"labels must be two or more different names, not {labels!r}")
        if len(shares) != len(labels):
            raise ValueError(f"{len(labels)} labels but {len(shares)} shares")
        return cls(
            tuple(labels), tuple(float(share) for share in shares), ClassificationOptions(**state.get("options", {}))
        )

    def state(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "shares": list(self.shares), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
            "problem_type": "single_label_classification",
        }

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        if not rows:
            return []
        encoded = tokenizer([row.text for row in rows], truncation=True, max_length=max_length)
        names = list(encoded)
        features = [dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)]
        if rows[0].target is not None:
            for feature, gold in zip(features, self.gold(rows).tolist(), strict=True):
                feature["labels"] = gold
        return features

    def collate(self, features: Sequence[Mapping[str, Any]], tokenizer: Any) -> dict[str, torch.Tensor]:
        inputs = [{name: f[name] for name in f if name != "labels"} for f in features]
        batch = dict(tokenizer.pad(inputs, padding=True, return_tensors="pt"))
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([f["labels"] for f in features])
        return batch

    def decode(self, logits: NDArray[np.float32]) -> list[Prediction]:
        probabilities = softmax(logits)
        return [
            Prediction(self.labels[int(row.argmax())], dict(zip(self.labels, row.tolist(), strict=True)))
            for row in probabilities
        ]

    def blank_answer(self) -> Prediction:
        label = self.labels[int(np.argmax(self.shares))]
        notice = say("空文本：答案是训练集里各标签的比例", "empty text: the answer is each label's share in training")
        return Prediction(label, dict(zip(self.labels, self.shares, strict=True)), notice)

    def gold(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        ids = {label: index for index, label in enumerate(self.labels)}
        unknown = next((row for row in rows if row.target not in ids), None)
        if unknown is not None:
            raise DataError(
                f"{unknown.place}：标签 {unknown.target!r} 不在训练时的标签里（{'、'.join(self.labels)}）",
                f"{unknown.place}: the label {unknown.target!r} is none of the trained ones ({', '.join(self.labels)})",
                todo_zh="改正这一行的标签，或者用 --set task_options.label_names.旧=新 对上名字。",
                todo_en="Correct the label, or map it with --set task_options.label_names.OLD=NEW.",
            )
        return np.array([ids[row.target] for row in rows], dtype=np.int64)

    def score(self, logits: NDArray[np.float32], rows: Sequence[Row]) -> dict[str, float]:
        gold, probabilities = self.gold(rows), softmax(logits)
        predicted = probabilities.argmax(axis=1)
        return {
            "accuracy": accuracy(gold, predicted),
            "macro_f1": macro_f1(gold, predicted, classes=len(self.labels)),
            "loss": negative_log_likelihood(gold, probabilities),
        }


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of `logits` (rows, classes) as probabilities, in float64 so that each row sums to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _label_order(label: str) -> tuple[int, float, str]:
    """Numbers by value, before names by spelling: 2 comes before 10."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
