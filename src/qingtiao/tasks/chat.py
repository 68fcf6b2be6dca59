"""Chat: instructions and conversations, answered by a causal language model in its own chat template."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Text
from qingtiao.config import Settings
from qingtiao.data.conversations import conversation_rows, messages_of
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import DataError
from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.overlap import OVERLAP, chrf_rows, rouge_rows
from qingtiao.evaluate.perplexity import PERPLEXITY, loss_and_perplexity, perplexity_rows
from qingtiao.evaluate.retrieval import most_similar
from qingtiao.language import say
from qingtiao.models.causal import IGNORED, answer_loss, answer_outputs
from qingtiao.models.chat_template import ChatFormat
from qingtiao.models.generation import Sampling, generate, so_far, text_of
from qingtiao.models.inputs import padded_labels
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, Row

_QUESTIONS = (
    ("帮我把“会议改到周四下午三点”说得客气一点。", "您好，想和您商量一下，会议能否改到周四下午三点？给您添麻烦了。"),
    ("用一句话解释什么是复利。", "复利就是利息也会再生利息，时间越长，滚得越快。"),
    ("米饭煮硬了怎么办？", "洒两勺热水，盖上盖子再焖十分钟。"),
    ("写一句提醒同事交周报的话。", "各位，周报今天下班前发我就行，辛苦啦。"),
    ("“画蛇添足”是什么意思？", "比喻多此一举，做了没必要的事反而坏了结果。"),
    ("推荐一个适合雨天做的事。", "泡杯热茶，把想看很久的那本书翻开。"),
    ("一公里等于多少米？", "一千米。"),
    ("给小猫起三个名字。", "年糕、芝麻、豆包。"),
    ("怎样让绿萝长得旺？", "散光养着，土干了再浇透，半个月施一次薄肥。"),
    ("把“我很高兴”翻译成英文。", "I am very happy."),
    ("写一句毕业祝福。", "愿你此去山高水长，仍有少年的眼睛。"),
    ("为什么天空是蓝色的？", "空气散射蓝光比红光多，所以白天看上去是蓝的。"),
    ("手机进水了先做什么？", "马上关机，擦干，别充电，尽快送去检修。"),
    ("列出三种补充维生素C的水果。", "猕猴桃、鲜枣、草莓。"),
    ("把这句话改短：由于天气原因，本次活动不得不推迟举行。", "因天气，活动推迟。"),
    ("“三顾茅庐”说的是谁？", "刘备三次去请诸葛亮出山。"),
    ("睡前总刷手机，怎么改？", "把充电器放到客厅，床头换成一本书。"),
    ("面试时怎么介绍自己？", "先说做过什么，再说做成了什么，最后说为什么想来。"),
    ("请用“春天”造一个句子。", "春天一到，巷口的玉兰就开了。"),
    ("二十四节气里，清明后面是哪个？", "谷雨。"),
)
_CONVERSATIONS = (
    (("最近老失眠。", "大概多久了？睡前在做什么？"), ("半个月吧，都在看手机。", "那先试试睡前一小时不看屏幕。")),
    (("我想学做饭。", "好呀，家里有什么锅？"), ("只有一口炒锅。", "够了，从番茄炒蛋开始吧。")),
    (("周末去哪玩好？", "想爬山还是逛馆子？"), ("爬山，别太累的。", "那去近郊的缓坡步道，两小时一圈。")),
    (("我和室友吵架了。", "怎么回事？愿意说说吗？"), ("她总半夜打电话。", "挑个白天好好谈，说感受，别翻旧账。")),
)
_SYSTEM = "你是耐心的助手，回答简短。"


class ChatOptions(Settings):
    """Options of chat: how conversations are put, and how answers are written."""

    system: str = Field("", description="没有系统提示的对话用这一句；留空就不加 | system prompt where there is none")
    drop_incomplete: bool = Field(
        False,
        description="去掉缺回答、有空句的对话，不报错 | drop conversations without an answer or with an empty turn",
    )
    thinking: bool = Field(False, description="模板支持时打开思考模式 | let the template write thoughts")
    max_new_tokens: int = Field(
        256, ge=1, le=32_768, description="回答最多多少词元，不超过 max_length 的一半 | longest answer in tokens"
    )
    temperature: float = Field(0, ge=0, le=5, description="0 为每次取最可能的词 | 0 always takes the likeliest token")
    top_p: float = Field(1, gt=0, le=1, description="只在概率和到这个数的词里抽 | nucleus to draw from")
    repetition_penalty: float = Field(1, ge=0.5, le=3, description="重复惩罚，1 为不罚 | penalty on repeats; 1 is none")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="抽样的随机种子 | random seed of sampling")


class Said(Settings):
    """One turn of a conversation."""

    role: Literal["user", "assistant"] = Field(description="谁说的 | Who says it")
    content: str = Field(description="说了什么 | What is said")


class ChatInput(Settings):
    """A question, and what was said before it."""

    question: str = Field(description="问题 | Question", json_schema_extra={"widget": "long"})
    history: tuple[Said, ...] = Field(
        (),
        description="之前的对话，从旧到新 | What was said before, oldest first",
        json_schema_extra={"widget": "json"},
    )
    system: str = Field("", description="系统提示 | System prompt")


def _prompts_of(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What of a batch the model itself reads."""
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


@dataclass(frozen=True, slots=True)
class Task:
    """A causal language model that learns the assistant's turns and nothing else."""

    title: ClassVar[Title] = Title("对话与指令", "Chat and instructions")
    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "CAUSAL_LM"
    Options: ClassVar[type[Settings]] = ChatOptions
    Input: ClassVar[type[Settings]] = ChatInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        *({"question": question, "answer": answer} for question, answer in _QUESTIONS),
        *(
            {
                "question": last,
                "answer": reply,
                "history": [{"role": "user", "content": first}, {"role": "assistant", "content": second}],
                "system": _SYSTEM,
            }
            for (first, second), (last, reply) in _CONVERSATIONS
        ),
    )
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = {"loss": False, "perplexity": False}
    measures: ClassVar[tuple[Measure, ...]] = tuple(one for one in OVERLAP if one.name in ("rouge_l", "chrf"))
    forced: ClassVar[tuple[Measure, ...]] = (PERPLEXITY,)

    options: ChatOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, ChatOptions)
        named = {{"text": "question", "label": "answer"}.get(role, role): name for role, name in columns.items()}
        return conversation_rows(
            records,
            columns=named,
            system=options.system,
            labelled=labelled,
            drop_incomplete=options.drop_incomplete,
        )

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        """As it stands: line breaks, full-width punctuation and repeats are part of what is to be learnt."""
        return row

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, ChatOptions)
        return cls(options)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(ChatOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {"options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return {}

    def check(self, rows: Sequence[Row]) -> None:
        """Whatever was parsed can be judged."""

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        if not rows:
            return []
        chat = ChatFormat(tokenizer, thinking=self.options.thinking)
        return [self._encoded(row, chat, max_length) for row in rows]

    def _encoded(self, row: Row, chat: ChatFormat, max_length: int) -> dict[str, Any]:
        messages = messages_of(row)
        new_tokens = min(self.options.max_new_tokens, max_length // 2)
        try:
            if row.target is None:
                ids, cut = chat.prompt(messages, max_length - new_tokens)
                return {"input_ids": ids, "cut": cut, "new_tokens": new_tokens, "stop_ids": chat.stop_ids}
            whole = [*messages, {"role": "assistant", "content": row.target[0]}]
            (ids, learnt), cut = chat.fitted(whole, max_length)
        except DataError as error:
            raise DataError(
                f"{row.place}：{error.zh}", f"{row.place}: {error.en}", todo_zh=error.todo_zh, todo_en=error.todo_en
            ) from None
        labels = [token if said else IGNORED for token, said in zip(ids, learnt, strict=True)]
        return {"input_ids": ids, "labels": labels, "cut": cut}

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        """Padded on the right to be judged, on the left to be gone on from."""
        asked = "labels" not in features[0]
        inputs = [{"input_ids": feature["input_ids"]} for feature in features]
        batch: dict[str, torch.Tensor] = dict(
            tokenizer.pad(inputs, padding=True, return_tensors="pt", padding_side="left" if asked else "right")
        )
        if not asked:
            return {**batch, "labels": padded_labels(features, batch["input_ids"].shape[1])}
        return batch | {name: torch.tensor(features[0][name]) for name in ("new_tokens", "stop_ids")}

    def weight(self, feature: Feature) -> int:
        """The tokens that are learnt."""
        return sum(label != IGNORED for label in feature["labels"][1:])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return answer_loss(model, batch)

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """The log-probability of every token of the answers, in nats."""
        return answer_outputs(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        """Token ids of the answers; as floats they are exact up to 16 million."""
        return [np.array(ids, dtype=np.float32) for ids in generate(model, _prompts_of(batch), **self._how(batch))]

    def speak(self, model: Any, batch: Mapping[str, torch.Tensor], tokenizer: Any) -> Generator[Text, None, None]:
        with closing(so_far(model, _prompts_of(batch), tokenizer, **self._how(batch))) as texts:
            for text in texts:
                yield Text(text)

    def _how(self, batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        options = self.options
        return {
            "new_tokens": int(batch["new_tokens"]),
            "stop_ids": batch["stop_ids"].tolist(),
            "sampling": Sampling(options.temperature, options.top_p, options.repetition_penalty, options.seed),
        }

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        return self

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        return [Text(text_of(tokenizer, output.astype(np.int64).tolist())) for output in outputs]

    def blank_answer(self) -> Answer:
        return Text("", say("没有问题，也就没有回答", "no question, so no answer"))

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        return loss_and_perplexity(outputs)

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        said = [answer.text if isinstance(answer, Text) else "" for answer in answers]
        gold = [list(row.target) for row in rows]
        return {"rouge_l": rouge_rows(said, gold)["rouge_l"], "chrf": chrf_rows(said, gold)}

    def measure_outputs(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        return {PERPLEXITY.name: perplexity_rows(outputs)}

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        """The answer to the training question that is most like the one asked."""
        nearest = most_similar([row.text for row in rows])
        answers = [Text(str(row.target[0])) for row in rows]
        return {"retrieval": lambda asked: [answers[one] for one in nearest([row.text for row in asked])]}
