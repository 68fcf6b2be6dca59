"""`Predictor`: the one way every surface predicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qingtiao.data.normalise import Normaliser
from qingtiao.language import say
from qingtiao.models.device import Precision
from qingtiao.models.forward import run_logits
from qingtiao.task import Task
from qingtiao.types import Place, Prediction, Row

# Rows that `stream` holds at a time: enough to put rows of like length together, little memory.
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model with everything that turns raw text into answers the way training did.

    `temperature` divides the logits before they become probabilities (Guo et al. 2017, section 4.2).
    """

    task: Task
    model: Any
    tokenizer: Any
    normaliser: Normaliser
    max_length: int
    temperature: float
    device: torch.device
    precision: Precision

    @property
    def labels(self) -> tuple[str, ...]:
        return self.task.labels

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One answer per text, in order.

        A text with nothing in it after normalisation gets the training shares; one longer than the model's
        limit is cut. Both say so in `notice`.

        Raises:
            TypeError: `texts` is one string, or holds something that is not a string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("predict takes a list of strings, for example predict(['真好吃'])")
        rows = [Row(self.normaliser(text), None, Place("", index)) for index, text in enumerate(texts)]
        spoken = [row for row in rows if row.text]
        answers = dict(zip((row.place.row for row in spoken), self._answers(spoken), strict=True))
        return [answers.get(index) or self.task.blank_answer() for index in range(len(rows))]

    def stream(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """Like `predict` for any number of texts, in constant memory."""
        texts = iter(texts)
        while chunk := list(islice(texts, _CHUNK)):
            yield from self.predict(chunk)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raw scores of shape (texts, classes): normalised and cut, but without temperature."""
        return self._logits([Row(self.normaliser(text), None, Place("", 0)) for text in texts])

    def _answers(self, rows: Sequence[Row]) -> list[Prediction]:
        if not rows:
            return []
        answers = self.task.decode(self._logits(rows) / self.temperature)
        return [
            replace(answer, notice=self._cut_notice()) if self._is_cut(row) else answer
            for answer, row in zip(answers, rows, strict=True)
        ]

    def _logits(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        return run_logits(
            self.model,
            self.task.encode(rows, self.tokenizer, self.max_length),
            lambda features: self.task.collate(features, self.tokenizer),
            device=self.device,
            precision=self.precision,
        )

    def _is_cut(self, row: Row) -> bool:
        # No tokenizer makes more tokens than bytes, so most rows need no second look.
        if len(row.text.encode("utf-8", "replace")) + 8 <= self.max_length:
            return False
        return len(self.tokenizer(row.text, verbose=False)["input_ids"]) > self.max_length

    def _cut_notice(self) -> str:
        return say(f"文本过长，只读了前 {self.max_length} 个词元", f"only the first {self.max_length} tokens were read")
