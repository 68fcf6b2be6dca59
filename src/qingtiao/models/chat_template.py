"""Conversations as tokens by the tokenizer's own chat template, and which of the tokens are the assistant's to say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qingtiao.errors import DataError
from qingtiao.models.inputs import longest_fit

Span = tuple[int, int]  # characters, the end exclusive
Message = Mapping[str, Any]  # `role` (system, user or assistant) and `content`: a text, or parts as `with_image` makes

# For a tokenizer that brings none. Every turn ends with a token that no text holds; line breaks would not do, since
# tokenizers of encoders drop them.
DEFAULT_TEMPLATE = (
    "{% set end = eos_token or sep_token %}"
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}"
    "助手：{% generation %}{{ message.content }}{{ end }}{% endgeneration %}"
    "{% else %}{{ {'system': '系统', 'user': '用户'}[message.role] }}：{{ message.content }}{{ end }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}助手：{% endif %}"
)
_PROBE: tuple[Message, ...] = (
    {"role": "user", "content": "问"},
    {"role": "assistant", "content": "答"},
    {"role": "user", "content": "问"},
    {"role": "assistant", "content": "答"},
)
_THOUGHT_END = "</think>"


class Encoded(NamedTuple):
    """Tokens; `learnt` is True where the assistant speaks, the token that ends its turn included."""

    input_ids: list[int]
    learnt: list[bool]


def with_image(text: str) -> list[dict[str, str]]:
    """The content of a message that is an image and then a text, as templates of bases with images read it."""
    return [{"type": "image"}, {"type": "text", "text": text}]


class ChatFormat:
    """How one tokenizer writes conversations.

    A template that marks what the assistant says (`{% generation %}`) is believed. For others the answers are replaced
    by marks that no text holds: what stays the same is the frame, what lies between is an answer, and frame and answers
    must join to the whole. Whatever the template writes between its own generation prompt and the answer (a space, an
    empty thought) is for the model to say too.

    A special token inside a message is broken by a space, so that no text can pretend to be a turn.
    """

    def __init__(self, tokenizer: Any, *, thinking: bool) -> None:
        """Give the tokenizer the default template if it has none.

        Args:
            thinking: passed to the template as `enable_thinking`; without it thoughts are taken out of the answers.

        Raises:
            DataError: nothing in the template ends the assistant's turn.
        """
        if tokenizer.chat_template is None:
            tokenizer.chat_template = DEFAULT_TEMPLATE
        self.tokenizer, self.thinking = tokenizer, thinking
        added = tokenizer.added_tokens_decoder
        special = [*tokenizer.all_special_tokens, *(token.content for token in added.values() if token.special)]
        self._special = re.compile("|".join(map(re.escape, sorted(set(special), key=len, reverse=True))) or "(?!)")
        self._controls = {*tokenizer.all_special_ids, *added}
        # A character that the tokenizer does not know ends nothing. GPT-2 calls its end of text unknown too.
        if tokenizer.unk_token_id not in (None, tokenizer.eos_token_id, tokenizer.sep_token_id):
            self._controls.discard(tokenizer.unk_token_id)
        self._end = self._end_of_turn()

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens at which an answer is over."""
        eos = self.tokenizer.eos_token_id
        return tuple(sorted({self._end} if eos is None else {self._end, eos}))

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """A conversation that ends with an answer.

        Raises:
            DataError: the template refuses the conversation, or rewrites answers so that they cannot be told apart.
        """
        ids, learnt = self._learnt(self._cleaned(messages))
        return self._with_ends(ids, learnt)

    def fitted(self, messages: Sequence[Message], max_length: int) -> tuple[Encoded, bool]:
        """The longest run of whole turns from the beginning that fits, and whether something was cut.

        Where not even the first exchange fits, the end of its answer is cut; nothing is learnt when all of it is.
        """
        ends = [index + 1 for index, message in enumerate(messages) if message["role"] == "assistant"]
        encoded = self.encode(messages)
        for end in reversed(ends):
            encoded = encoded if end == len(messages) else self.encode(messages[:end])
            if len(encoded.input_ids) <= max_length:
                return encoded, end < len(messages)
        return Encoded(encoded.input_ids[:max_length], encoded.learnt[:max_length]), True

    def prompt(self, messages: Sequence[Message], max_length: int) -> tuple[list[int], bool]:
        """What the next answer is asked with, and whether something was cut: the oldest turns, then the last text.

        Raises:
            DataError: the system prompt alone is too long.
        """
        system = [message for message in messages if message["role"] == "system"]
        turns = [message for message in messages if message["role"] != "system"]
        ids = self._prompt_ids(messages)
        cut = len(ids) > max_length
        while len(ids) > max_length and len(turns) > 1:
            turns = turns[2:] if turns[1]["role"] == "assistant" else turns[1:]
            ids = self._prompt_ids([*system, *turns])
        if len(ids) > max_length:
            last = turns[-1]
            ids = longest_fit(
                _text_in(last["content"]),
                lambda text: self._prompt_ids([*system, {**last, "content": _with_text(last["content"], text)}]),
                max_length=max_length,
            )
        return ids, cut

    def question(self, text: str) -> list[int]:
        """What a single question is asked with, uncut."""
        return self._prompt_ids([{"role": "user", "content": text}])

    def reply(self, text: str) -> list[int]:
        """The tokens of an answer, from the end of its prompt to the token that ends the turn."""
        ids, learnt = self.encode([_PROBE[0], {"role": "assistant", "content": text}])
        return [token for token, said in zip(ids, learnt, strict=True) if said]

    def _prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return self._tokens(self._render(self._cleaned(messages), add_generation_prompt=True))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _cleaned(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return [
            {
                "role": message["role"],
                "content": _with_text(message["content"], self._harmless(self._without_thought(message).strip())),
            }
            for message in messages
        ]

    def _without_thought(self, message: Message) -> str:
        content = _text_in(message["content"])
        if self.thinking or message["role"] != "assistant":
            return content
        return content.rpartition(_THOUGHT_END)[2]

    def _harmless(self, text: str) -> str:
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        return self._marked(messages, add_generation_prompt=add_generation_prompt)[0]

    def _marked(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> tuple[str, list[Span]]:
        """The conversation as text, and what of it the template marks as said by the assistant."""
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            (text,), (spans,) = render_jinja_template(
                conversations=[list(messages)],
                chat_template=self.tokenizer.get_chat_template(),
                return_assistant_tokens_mask=True,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=self.thinking,
                **self.tokenizer.special_tokens_map,
            )
        except TemplateError as error:
            folded = _folded(messages)
            if folded is not messages:
                return self._marked(folded, add_generation_prompt=add_generation_prompt)
            raise _refused(str(error)) from None
        return text, list(spans)

    def _learnt(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        text, spans = self._marked(messages)
        if len(spans) < sum(message["role"] == "assistant" for message in messages):
            spans = self._spans(messages, text)
        if self.tokenizer.is_fast:
            encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            places = [start for start, _ in encoded["offset_mapping"]]
            return list(encoded["input_ids"]), [any(a <= place < b for a, b in spans) for place in places]
        ids = self._tokens(text)
        counts = [(self._tokens_before(a, text, ids), self._tokens_before(b, text, ids)) for a, b in spans]
        return ids, [any(a <= place < b for a, b in counts) for place in range(len(ids))]

    def _tokens_before(self, place: int, text: str, ids: Sequence[int]) -> int:
        """How many tokens stand before a character, where the tokenizer gives no offsets."""
        before = self._tokens(text[:place])
        if before != ids[: len(before)]:
            raise _refused("its pieces, tokenised, do not join to the whole")
        return len(before)

    def _spans(self, messages: Sequence[Message], whole: str) -> list[Span]:
        """Where the answers stand in `whole`, the conversation as text, of which the template says nothing."""
        framed: list[Message] = []
        replies: list[str] = []
        marks: list[str] = []
        for message in messages:
            if message["role"] == "assistant":
                thought, end, reply = message["content"].rpartition(_THOUGHT_END)
                kept = reply.lstrip("\n")
                mark = f"\ue000{len(marks)}\ue001"
                replies.append(kept)
                marks.append(mark)
                framed.append({**message, "content": thought + end + reply[: len(reply) - len(kept)] + mark})
            else:
                framed.append({**message})
        pieces = re.split("|".join(map(re.escape, marks)), self._render(framed))
        joined = "".join(piece + reply for piece, reply in zip(pieces, [*replies, ""], strict=False))
        if len(pieces) != len(replies) + 1 or joined != whole:
            raise _refused("answers cannot be found again in what it makes of a conversation")
        return self._with_beginnings(messages, whole, pieces, replies)

    def _with_beginnings(
        self, messages: Sequence[Message], whole: str, pieces: Sequence[str], replies: Sequence[str]
    ) -> list[Span]:
        """Spans of the answers, each from the end of its generation prompt where the whole goes on from there.

        Templates that drop the thoughts of earlier turns write those turns otherwise than when they were asked.
        """
        spans, position = [], 0
        asked = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        for piece, reply, index in zip(pieces, replies, asked, strict=False):
            start, position = position + len(piece), position + len(piece) + len(reply)
            prompt = self._render(messages[:index], add_generation_prompt=True) if index else ""
            if whole.startswith(prompt) and len(prompt) <= start:
                start = len(prompt)
            elif index == len(messages) - 1:
                raise _refused("an answer does not go on from the generation prompt")
            spans.append((start, position))
        return spans

    def _with_ends(self, ids: list[int], learnt: list[bool]) -> Encoded:
        """`learnt` with the token that ends each turn, and without the white space that follows it."""
        for end in [
            index for index in range(1, len(ids) + 1) if learnt[index - 1] and not any(learnt[index : index + 1])
        ]:
            last = self._before_space(ids, end)
            if ids[last - 1] in self._controls:
                learnt[last:end] = [False] * (end - last)
                continue
            after = end
            while after < len(ids) and self._is_space(ids[after]):
                after += 1
            if after < len(ids) and ids[after] in self._controls:
                learnt[end : after + 1] = [True] * (after + 1 - end)
            elif after == len(ids):
                ids, learnt = [*ids[:end], self._end], [*learnt[:end], True]
            else:
                raise _refused("no token ends the turns of the assistant, so the model would never learn to stop")
        return Encoded(ids, learnt)

    def _before_space(self, ids: Sequence[int], end: int) -> int:
        while end > 1 and self._is_space(ids[end - 1]):
            end -= 1
        return end

    def _is_space(self, token: int) -> bool:
        return token not in self._controls and not self.tokenizer.decode([token]).strip()

    def _end_of_turn(self) -> int:
        """The token after the first of two answers: some templates leave the last turn open."""
        self._end = -1
        ids, learnt = self._with_ends(*self._learnt(_PROBE))
        first = next((index for index, said in enumerate(learnt) if said), None)
        if first is None:
            raise _refused("it marks nothing as said by the assistant")
        after = next((index for index in range(first, len(ids)) if not learnt[index]), len(ids))
        if ids[after - 1] not in self._controls:
            raise _refused("no token ends the turns of the assistant, so the model would never learn to stop")
        return ids[after - 1]


def _text_in(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _with_text(content: Any, text: str) -> Any:
    """The content with another text, its images kept before it."""
    if isinstance(content, str):
        return text
    return [*(part for part in content if part["type"] != "text"), {"type": "text", "text": text}]


def _folded(messages: Sequence[Message]) -> Sequence[Message]:
    """The system prompt at the head of the first question."""
    if messages[0]["role"] != "system" or len(messages) < 2 or messages[1]["role"] != "user":
        return messages
    system, first = messages[0], messages[1]
    joined = _with_text(first["content"], f"{system['content']}\n\n{_text_in(first['content'])}")
    return [{**first, "content": joined}, *messages[2:]]


def _refused(reason: str) -> DataError:
    return DataError(
        f"分词器的对话模板用不了：{reason}",
        f"The chat template of the tokenizer cannot be used: {reason}",
        todo_zh="检查对话（角色要一问一答轮流），或者换一个带对话模板的基座。",
        todo_en="Check the conversations (roles must take turns), or use a base with another chat template.",
    )
