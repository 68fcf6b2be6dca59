"""Captions of images and answers about them, written by a language model that sees (Qwen-VL)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Text
from qingtiao.config import Settings
from qingtiao.data.normalise import Normaliser
from qingtiao.evaluate.measures import Measure, mean_of
from qingtiao.evaluate.overlap import OVERLAP, rouge_rows, units
from qingtiao.evaluate.perplexity import PERPLEXITY, loss_and_perplexity, perplexity_rows
from qingtiao.language import say
from qingtiao.models.causal import IGNORED, answer_loss, answer_outputs
from qingtiao.models.generation import Sampling, generate, so_far, text_of
from qingtiao.models.processor import tokenizer_of
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, Row
from qingtiao.vision.drawing import COLOURS, SHAPES, drawn
from qingtiao.vision.lookalikes import Lookalikes, commonest
from qingtiao.vision.prompts import INPUTS, collate_prompts, encode_prompts
from qingtiao.vision.rows import answered_rows

_EXACT = Measure("exact", "一字不差", "exact answers", mean_of(0, 1))
_GREEDY = Sampling(temperature=0, top_p=1, repetition_penalty=1, seed=0)
_ROLES = {"text": "answer", "label": "answer"}  # what --text-column and --label-column mean here
_ASKED = ("这张图里有什么？", "它是什么颜色的？", "它是什么形状的？")


class CaptionOptions(Settings):
    """Options of captions and answers."""

    question: str = Field(
        "这张图里有什么？",
        min_length=1,
        description="没有问题列时，每张图都这么问 | what is asked of images that come without a question",
    )
    image_tokens: int = Field(
        256,
        ge=1,
        le=16_384,
        description="一张图最多占多少词元，大图会缩小 | most tokens of an image; larger are scaled down",
    )
    max_new_tokens: int = Field(
        64, ge=1, le=4096, description="回答最多多少词元，不超过 max_length 的四分之一 | longest answer in tokens"
    )


class CaptionInput(Settings):
    """An image, and what is asked about it."""

    image: str = Field(description="图片 | Image", json_schema_extra={"widget": "image"})  # a path or a data: URI
    question: str = Field("", description="问题；不填就问图里有什么 | Question; what it shows, when empty")


def _answer(number: int, colour: str, shape: str) -> str:
    return (f"一个{colour}色的{shape}。", f"{colour}色。", f"{shape}。")[number]


def _how(batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Keywords of `generate`."""
    return {"new_tokens": int(batch["new_tokens"]), "stop_ids": batch["stop_ids"].tolist(), "sampling": _GREEDY}


@dataclass(frozen=True, slots=True)
class Task:
    """A language model that is shown an image and a question, and learns the answer and nothing else."""

    title: ClassVar[Title] = Title("看图说话", "Captions and answers")
    auto_class: ClassVar[str] = "AutoModelForImageTextToText"
    processor_class: ClassVar[str] = "AutoProcessor"
    peft_task_type: ClassVar[str | None] = "CAUSAL_LM"
    Options: ClassVar[type[Settings]] = CaptionOptions
    Input: ClassVar[type[Settings]] = CaptionInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"image": drawn(colour, shape), "question": _ASKED[(i + j) % 3], "answer": _answer((i + j) % 3, colour, shape)}
        for i, shape in enumerate(SHAPES)
        for j, colour in enumerate(COLOURS)
    )
    exclusive: ClassVar[bool] = False
    untaught: ClassVar[bool] = True  # a base that sees answers as it is
    scores: ClassVar[Mapping[str, bool]] = {"loss": False, "perplexity": False}
    measures: ClassVar[tuple[Measure, ...]] = (*(one for one in OVERLAP if one.name == "rouge_l"), _EXACT)
    forced: ClassVar[tuple[Measure, ...]] = (PERPLEXITY,)

    options: CaptionOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, CaptionOptions)
        named = {_ROLES.get(role, role): name for role, name in columns.items()}
        return answered_rows(records, columns=named, question=options.question, labelled=labelled)

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        """As it stands: full-width marks and line breaks are part of what is to be learnt."""
        return row

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, CaptionOptions)
        return cls(options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(CaptionOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {"options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return {}

    def check(self, rows: Sequence[Row]) -> None:
        """Whatever was parsed can be judged."""

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        return encode_prompts(
            rows,
            tokenizer,
            max_length=max_length,
            image_tokens=self.options.image_tokens,
            new_tokens=self.options.max_new_tokens,
        )

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        return collate_prompts(features, tokenizer)

    def weight(self, feature: Feature) -> int:
        """The tokens that are learnt."""
        return sum(label != IGNORED for label in feature["labels"][1:])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return answer_loss(model, batch, inputs=INPUTS)

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """The log-probability of every token of the answers, in nats."""
        return answer_outputs(model, batch, inputs=INPUTS)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """Token ids of the answers; as floats they are exact up to 16 million."""
        told = generate(model, {name: batch[name] for name in INPUTS}, **_how(batch))
        return [np.array(ids, dtype=np.float32) for ids in told]

    def speak(self, model: Any, batch: Mapping[str, torch.Tensor], tokenizer: Any) -> Generator[Text, None, None]:
        inputs = {name: batch[name] for name in INPUTS}
        with closing(so_far(model, inputs, tokenizer_of(tokenizer), **_how(batch))) as texts:
            for text in texts:
                yield Text(text)

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        return self

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        words = tokenizer_of(tokenizer)
        return [Text(text_of(words, output.astype(np.int64).tolist())) for output in outputs]

    def blank_answer(self) -> Answer:
        return Text("", say("没有图片，也就没有回答", "no image, so no answer"))

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        return loss_and_perplexity(outputs)

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        """Marks, case and width are set aside."""
        said = [answer.text if isinstance(answer, Text) else "" for answer in answers]
        gold = [list(row.target) for row in rows]
        right = [units(one) in [units(other) for other in several] for one, several in zip(said, gold, strict=True)]
        exact = np.column_stack([np.array(right, dtype=np.float64), np.ones(len(rows))])
        return {"rouge_l": rouge_rows(said, gold)["rouge_l"], _EXACT.name: exact}

    def measure_outputs(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        return {PERPLEXITY.name: perplexity_rows(outputs)}

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        """What was said of the most similar training image, and what was said most often, to the same question."""
        by_question: dict[str, list[Row]] = {}
        for row in rows:
            by_question.setdefault(row.fields["question"], []).append(row)
        known = {question: Lookalikes.fit(some) for question, some in by_question.items()}

        def lookalike(asked: Sequence[Row]) -> list[Text]:
            told = []
            for row in asked:
                question = row.fields["question"] if row.fields["question"] in known else next(iter(known))
                near = known[question].nearest([row])[0]
                told.append(Text(commonest([by_question[question][index].target[0] for index in near])))
            return told

        def majority(asked: Sequence[Row]) -> list[Text]:
            return [
                Text(commonest([other.target[0] for other in by_question.get(row.fields["question"], rows)]))
                for row in asked
            ]

        return {"lookalike": lookalike, "majority": majority}
