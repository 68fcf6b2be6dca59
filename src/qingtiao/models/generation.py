"""Answers of a causal language model, whole or as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from qingtiao.models.base import quiet_transformers
from qingtiao.models.device import forked_random


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen: the likeliest one when `temperature` is 0, else drawn."""

    temperature: float
    top_p: float
    repetition_penalty: float
    seed: int


def generate(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    *,
    new_tokens: int,
    stop_ids: Sequence[int],
    sampling: Sampling,
    streamer: Any = None,
    stopping: Any = None,
) -> list[list[int]]:
    """The tokens that follow each left-padded prompt, without the one that ended them.

    Leaves torch's random state as it was.
    """
    length = inputs["input_ids"].shape[1]
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    room = new_tokens if positions is None else max(1, min(new_tokens, positions - length))
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0} if sampling.temperature else {}
    with forked_random(model.device), quiet_transformers():
        torch.manual_seed(sampling.seed)
        told = model.generate(
            **inputs,
            max_new_tokens=room,
            do_sample=bool(drawn),
            repetition_penalty=sampling.repetition_penalty,
            eos_token_id=list(stop_ids),
            pad_token_id=stop_ids[0],
            streamer=streamer,
            stopping_criteria=[stopping] if stopping is not None else None,
            **drawn,
        )
    return [_until(row, stop_ids) for row in told[:, length:].tolist()]


def _until(ids: Sequence[int], stop_ids: Sequence[int]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), len(ids))
    return list(ids[:end])


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """Generated tokens as text."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.strip()


class _Writer:
    """What `generate` hands its tokens to; `closed` is the reader's word that it has heard enough."""

    def __init__(self) -> None:
        self.tokens: queue.Queue[int | None] = queue.Queue()
        self.closed = threading.Event()
        self.error: BaseException | None = None
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt:  # the prompt comes first
            self.tokens.put(int(value.reshape(-1)[-1]))
        self._prompt = False

    def end(self) -> None:
        self.tokens.put(None)

    def stopping(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.closed.is_set(), device=input_ids.device, dtype=torch.bool)


def stream(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    tokenizer: Any,
    *,
    new_tokens: int,
    stop_ids: Sequence[int],
    sampling: Sampling,
) -> Generator[str, None, None]:
    """The answer to one prompt, piece by piece; joined they are `text_of` what `generate` gives.

    Closing the iterator stops the model before its next token.
    """
    with closing(_tokens(model, inputs, new_tokens=new_tokens, stop_ids=stop_ids, sampling=sampling)) as tokens:
        ids: list[int] = []
        said = ""
        for token in tokens:
            if token in stop_ids:
                break
            ids.append(token)
            text = text_of(tokenizer, ids)
            # A character may take several tokens; until the last of them it is a replacement mark.
            if text.startswith(said) and len(text) > len(said) and not text.endswith("\ufffd"):
                yield text[len(said) :]
                said = text
        rest = text_of(tokenizer, ids)
        if rest.startswith(said) and rest != said:
            yield rest[len(said) :]


def so_far(model: Any, inputs: Mapping[str, torch.Tensor], tokenizer: Any, **how: Any) -> Generator[str, None, None]:
    """`stream` with each piece joined to those before it; at least one text, an empty one where nothing is said."""
    said = ""
    with closing(stream(model, inputs, tokenizer, **how)) as pieces:
        for piece in pieces:
            said += piece
            yield said
    if not said:
        yield said


def _tokens(
    model: Any, inputs: Mapping[str, torch.Tensor], *, new_tokens: int, stop_ids: Sequence[int], sampling: Sampling
) -> Generator[int, None, None]:
    writer = _Writer()

    def write() -> None:
        try:
            with torch.inference_mode():
                generate(
                    model,
                    inputs,
                    new_tokens=new_tokens,
                    stop_ids=stop_ids,
                    sampling=sampling,
                    streamer=writer,
                    stopping=writer.stopping,
                )
        except BaseException as error:  # noqa: BLE001 - raised again where the tokens are read
            writer.error = error
        finally:
            writer.end()

    thread = threading.Thread(target=write, name="qingtiao-writer", daemon=True)
    thread.start()
    try:
        while (token := writer.tokens.get()) is not None:
            yield token
        if writer.error is not None:
            raise writer.error
    finally:
        writer.closed.set()
        thread.join()
