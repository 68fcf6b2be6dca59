"""Image and text: a dual encoder (Chinese-CLIP) learns which of them go together, and labels images by text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Prediction
from qingtiao.classes import Classes, label_order, softmax
from qingtiao.config import Settings
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.calibrate import fit_temperature
from qingtiao.evaluate.measures import Measure, mean_of
from qingtiao.language import say
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, References, Row
from qingtiao.vision.drawing import COLOURS, SHAPES, drawn
from qingtiao.vision.lookalikes import Lookalikes, commonest
from qingtiao.vision.pairs import collate_pairs, encode_pairs, pair_loss, pair_outputs, paired_cross_entropy
from qingtiao.vision.retrieval import Match, Vectors, hits, matches, recall_measures
from qingtiao.vision.rows import asked_rows, paired_rows

_MOST_LABELS = 1000
_SHOWN_LABELS = 10
_ACCURACY = Measure("accuracy", "标签准确率", "accuracy of labels", mean_of(0, 1))
_LOSS_ROWS = 1024  # the contrastive loss of dev rows is taken over so many at once
_HASHED = 1024  # dimensions of the character n-grams that the lookalike baseline compares captions by


class PairOptions(Settings):
    """Options of images and texts."""

    label_weight: float = Field(
        1.0,
        ge=0,
        description="有标签列时，认标签这一项在损失里的权重，0 为只学图文配对"
        " | weight in the loss of telling the labels, where there is a column of them; 0 learns the pairs alone",
    )
    prompt: str = Field(
        "{}",
        pattern=r"\{\}",
        description="标签怎样变成句子，例如 一张{}的照片 | what makes a sentence of a label, for example 一张{}的照片",
    )
    captions_apart: bool = Field(
        True,
        description="自动划分时，同一句文本的图片不拆到两边"
        " | images that share a text stay on one side when rows are split, so that scores are for texts never seen",
    )


class ImageInput(Settings):
    """One image, and what it may show."""

    image: str = Field(description="图片 | Image", json_schema_extra={"widget": "image"})  # a path or a data: URI
    candidates: str = Field(
        "",
        description="候选文本，一行一个；不填就从训练时的标签里选 | Candidates, one a line; the labels when empty",
        json_schema_extra={"widget": "long"},
    )


@dataclass(frozen=True, slots=True)
class Task:
    """A contrastive dual encoder over (image, text). Labels are texts too: those of the label column, else captions."""

    title: ClassVar[Title] = Title("图文匹配", "Image and text")
    auto_class: ClassVar[str] = "AutoModel"
    processor_class: ClassVar[str] = "AutoProcessor"
    # PEFT's wrapper for feature extraction hands on keywords that dual encoders do not take.
    peft_task_type: ClassVar[str | None] = None
    Options: ClassVar[type[Settings]] = PairOptions
    Input: ClassVar[type[Settings]] = ImageInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"image": drawn(colour, shape), "text": f"{colour}色的{shape}", "label": shape}
        for shape in SHAPES
        for colour in COLOURS
    )
    exclusive: ClassVar[bool] = False
    untaught: ClassVar[bool] = True  # a base that knows images finds texts for them as it is
    scores: ClassVar[Mapping[str, bool]] = {
        "mean_recall": True,
        "image_to_text_1": True,
        "text_to_image_1": True,
        "accuracy": True,
        "loss": False,
    }
    measures: ClassVar[tuple[Measure, ...]] = (*recall_measures(), _ACCURACY)

    classes: Classes
    named: bool  # the labels stood in a column of their own
    options: PairOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes.labels

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, PairOptions)
        if not labelled:
            return asked_rows(records, columns=columns)
        return paired_rows(records, columns=columns, captions_apart=options.captions_apart)

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        candidates = [normaliser(text) for text in row.fields["candidates"]]
        caption = None if row.fields["caption"] is None else normaliser(row.fields["caption"])
        target = None if row.target is None else References((str(caption),))
        return replace(row, target=target, fields={**row.fields, "caption": caption, "candidates": candidates})

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, PairOptions)
        named = [row.fields["label"] for row in rows if row.fields["label"] is not None]
        counts = Counter(named or [row.fields["caption"] for row in rows if row.fields["caption"]])
        if len(counts) < 2:
            raise DataError(
                f"训练数据里只有 {len(counts)} 种{'标签' if named else '文本'}",
                f"The training rows hold {len(counts)} different {'labels' if named else 'texts'}",
                todo_zh="图文匹配至少要两种；检查 --column text=列名 指的是不是图片的说明。",
                todo_en="Two are needed at least; check that --column text=COLUMN names the captions.",
            )
        kept = dict(counts.most_common(_MOST_LABELS))
        labels = sorted(kept, key=label_order)
        classes = Classes(tuple(labels), tuple(kept[label] / sum(kept.values()) for label in labels))
        return cls(classes, bool(named), options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(Classes.from_state(state), bool(state["named"]), PairOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {**self.classes.state(), "named": self.named, "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return {}

    def check(self, rows: Sequence[Row]) -> None:
        """Labels never seen in training may stand in rows to be judged, and count as missed; not on every row."""
        labelled = [row for row in rows if row.fields["label"] is not None]
        if self.named and labelled and not any(row.fields["label"] in self.labels for row in labelled):
            wrong, known = labelled[0].fields["label"], self.labels[:_SHOWN_LABELS]
            raise DataError(
                f"{labelled[0].place} 起，没有一行的标签是训练时见过的，例如 {wrong!r}",
                f"From {labelled[0].place} on, no row bears a label known from training; {wrong!r} for example",
                todo_zh=f"训练时的标签：{'、'.join(known)}……；检查 --column label=列名 指得对不对。",
                todo_en=f"Labels of training: {', '.join(known)} ...; check that --column label=COLUMN is right.",
            )

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        prompts = {label: self.options.prompt.format(label) for label in self.labels}
        paired = _paired(rows)
        asked = [self._names(row) if self.named or not paired else () for row in rows]
        texts = [tuple(prompts.get(name) or self.options.prompt.format(name) for name in names) for names in asked]
        features = encode_pairs(rows, texts, tokenizer, max_length=max_length)
        for feature, row in zip(features, rows, strict=True):
            if row.target is not None:
                feature["labels"] = self._gold(row)
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        return collate_pairs(features, tokenizer)

    def weight(self, feature: Feature) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return pair_loss(model, batch, label_weight=self.options.label_weight)

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """A row: its image's embedding times the logit scale, its text's, and its logits by label if there are any."""
        return pair_outputs(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """As `judge` for rows with a text; for an image alone, a logit a candidate."""
        return pair_outputs(model, batch)

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        gold = np.array([self._gold(row) for row in rows], dtype=np.int64)
        if not (gold >= 0).any():
            return self
        temperature = fit_temperature(self._parts(outputs)[2][gold >= 0], gold[gold >= 0])
        return replace(self, classes=replace(self.classes, temperature=temperature))

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        if _paired(rows):
            return [*self._matches(outputs, rows)]
        return [self._prediction(output, self._names(row)) for output, row in zip(outputs, rows, strict=True)]

    def blank_answer(self) -> Prediction:
        label = self.labels[int(np.argmax(self.classes.shares))]
        notice = say("没有图片：答案是训练集里各标签的比例", "no image: the answer is each label's share in training")
        return Prediction(label, dict(zip(self.labels, self.classes.shares, strict=True)), notice)

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        sums = self.measure(self._matches(outputs, rows), rows)
        values = {one.name: one.value(sums[one.name]) for one in self.measures if one.name in self.scores}
        images, texts, _ = map(torch.from_numpy, self._parts(outputs))
        numbers: dict[str, int] = {}
        same = torch.tensor([numbers.setdefault(row.fields["caption"], len(numbers)) for row in rows])
        losses = [
            float(paired_cross_entropy(some @ others.T, group)) * len(group)
            for some, others, group in zip(
                *(torch.split(part, _LOSS_ROWS) for part in (images, texts, same)), strict=True
            )
        ]
        return {**values, "loss": sum(losses) / len(rows)}

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        """Recall, and the share of right labels; without a label column the label is the text, found first or not."""
        found = hits(answers, rows)
        right = found[:, [0, -1]].copy()
        if self.named:
            labels = [row.fields["label"] for row in rows]
            given = [getattr(answer, "label", None) for answer in answers]
            right[:, 0] = [a is not None and a == b for a, b in zip(labels, given, strict=True)]
            right[:, 1] = [label is not None for label in labels]
        return {**{one.name: found for one in self.measures}, _ACCURACY.name: right}

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        """Pairing by chance, and what the training pictures of the most similar colours were called."""
        from sklearn.feature_extraction.text import HashingVectorizer

        known = Lookalikes.fit(rows)
        captions = HashingVectorizer(analyzer="char", ngram_range=(1, 2), n_features=_HASHED, alternate_sign=False)
        usual = self.labels[int(np.argmax(self.classes.shares))] if self.named else None

        def chance(asked: Sequence[Row]) -> list[Match]:
            drawn = np.random.default_rng(seed).standard_normal((2, len(asked), 64)).astype(np.float32)
            return matches(asked, drawn[0], drawn[1], [usual] * len(asked) if usual is not None else None)

        def lookalike(asked: Sequence[Row]) -> list[Match]:
            near = known.nearest(asked)
            texts: Vectors = captions.transform([row.fields["caption"] for row in asked]).toarray().astype(np.float32)
            taught = captions.transform([row.fields["caption"] for row in rows]).toarray().astype(np.float32)
            labels = [commonest([rows[i].fields["label"] or "" for i in some]) for some in near]
            return matches(asked, taught[near].mean(axis=1), texts, labels if self.named else None)

        return {"lookalike": lookalike, "chance": chance}

    def _names(self, row: Row) -> tuple[str, ...]:
        return tuple(row.fields["candidates"]) or self.labels

    def _gold(self, row: Row) -> int:
        label = row.fields["label"]
        return self.labels.index(label) if self.named and label in self.labels else -100

    def _parts(self, outputs: Sequence[Output]) -> tuple[Vectors, Vectors, Vectors]:
        """What `judge` gave, taken apart: images (rows, d), texts (rows, d), logits (rows, labels)."""
        table = np.stack(outputs)
        labels = len(self.labels) if self.named else 0
        size = (table.shape[1] - labels) // 2
        images, texts, logits = np.split(table, [size, 2 * size], axis=1)
        return images, texts, logits

    def _matches(self, outputs: Sequence[Output], rows: Sequence[Row]) -> list[Match]:
        images, texts, logits = self._parts(outputs)
        labels = [self.labels[index] for index in logits.argmax(axis=1)] if self.named else None
        return matches(rows, images, texts, labels)

    def _prediction(self, logits: Output, names: Sequence[str]) -> Prediction:
        probabilities = softmax(logits[None] / self.classes.temperature)[0]
        return Prediction(names[int(probabilities.argmax())], dict(zip(names, probabilities.tolist(), strict=True)))


def _paired(rows: Sequence[Row]) -> bool:
    """Rows to be judged come with their texts, rows that are asked about do not."""
    return bool(rows) and rows[0].fields["caption"] is not None
