"""`Predictor`: the one way every surface predicts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from qingtiao.answers import Answer
from qingtiao.config import parse
from qingtiao.data.normalise import Normaliser
from qingtiao.language import say
from qingtiao.models.device import Precision
from qingtiao.models.forward import Forward, run_rows
from qingtiao.task import Output, Speaking, Task
from qingtiao.types import Place, Record, Row

Input = str | Mapping[str, Any]

# Rows that `stream` holds at a time: enough to put rows of like length together, little memory.
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model with everything that turns raw input into answers the way training did."""

    task: Task
    model: Any
    tokenizer: Any
    normaliser: Normaliser
    max_length: int
    device: torch.device
    precision: Precision

    @property
    def labels(self) -> tuple[str, ...]:
        return self.task.labels

    def predict(self, inputs: Sequence[Input]) -> list[Any]:
        """One answer (see `qingtiao.answers`) per input, in order.

        An input is a mapping with the fields of `task.Input`; a bare string is its first field. One with nothing in it
        after normalisation gets the task's blank answer; one longer than the model's limit is cut. Both say so in
        `notice`.

        Raises:
            TypeError: `inputs` is one string, or holds something that is neither a string nor a mapping.
            ConfigError: a mapping lacks a field or holds one that the task does not know.
            DataError: a field cannot be read.
        """
        if isinstance(inputs, str | Mapping) or not all(isinstance(one, str | Mapping) for one in inputs):
            raise TypeError("predict takes a list of strings or mappings, for example predict(['真好吃'])")
        return self.answer(self._rows(inputs))

    def answer(self, rows: Sequence[Row]) -> list[Any]:
        """`predict` for rows that the task has parsed; their targets are not looked at."""
        asked = [self.task.normalised(row, self.normaliser).unanswered() for row in rows]
        spoken = [index for index, row in enumerate(asked) if row.text]
        answers = dict(zip(spoken, self._answers([asked[index] for index in spoken]), strict=True))
        return [answers.get(index) or self.task.blank_answer() for index in range(len(asked))]

    def stream(self, inputs: Iterable[Input]) -> Iterator[Any]:
        """Like `predict` for any number of inputs, in constant memory."""
        inputs = iter(inputs)
        while chunk := list(islice(inputs, _CHUNK)):
            yield from self.predict(chunk)

    def speak(self, one: Input) -> Generator[Any, None, None]:
        """The answer to one input, again and again as it grows; closing the iterator stops the model.

        The last one is what `predict` gives, and the only one of a task that cannot speak.

        Raises: see `predict`.
        """
        if not isinstance(one, str | Mapping):
            raise TypeError("speak takes one string or mapping, for example speak('你好')")
        (row,) = self._rows([one])
        row = self.task.normalised(row, self.normaliser).unanswered()
        if not row.text or not isinstance(self.task, Speaking):
            yield from self.answer([row])
            return
        (feature,) = self.task.encode([row], self.tokenizer, self.max_length)
        batch = self.task.collate([feature], self.tokenizer)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        answer = None
        with closing(self.task.speak(self.model, batch, self.tokenizer)) as answers:
            for answer in answers:
                yield answer
        if answer is not None and feature.get("cut"):
            yield replace(answer, notice=answer.notice or self._cut_notice())

    def judge(self, rows: Sequence[Row]) -> list[Output]:
        """What the task's scores come of, an array a row that holds a target."""
        rows = [self.task.normalised(row, self.normaliser) for row in rows]
        return self._run(self.task.encode(rows, self.tokenizer, self.max_length), self.task.judge)

    def _rows(self, inputs: Sequence[Input]) -> list[Row]:
        kind = self.task.Input
        first = next(iter(kind.model_fields))
        mappings = [one if isinstance(one, Mapping) else {first: one} for one in inputs]
        records = [
            Record(parse(kind, mapping).model_dump(), Place("input", number))
            for number, mapping in enumerate(mappings, start=1)
        ]
        return self.task.parse(records, options=self.task.options, columns={}, labelled=False)

    def _answers(self, rows: Sequence[Row]) -> list[Answer]:
        if not rows:
            return []
        features = self.task.encode(rows, self.tokenizer, self.max_length)
        answers = self.task.decode(self._run(features, self.task.infer), rows, self.tokenizer)
        return [
            replace(answer, notice=answer.notice or self._cut_notice()) if feature.get("cut") else answer  # type: ignore[type-var]
            for answer, feature in zip(answers, features, strict=True)
        ]

    def _run(self, features: Sequence[Mapping[str, Any]], forward: Forward) -> list[Output]:
        return run_rows(
            self.model,
            features,
            lambda batch: self.task.collate(batch, self.tokenizer),
            forward,
            device=self.device,
            precision=self.precision,
        )

    def _cut_notice(self) -> str:
        return say(f"文本过长，只读了前 {self.max_length} 个词元", f"only the first {self.max_length} tokens were read")
