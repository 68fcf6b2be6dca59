"""Label scoring: a language model classifies by how likely it holds the words of each label to be its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Prediction
from qingtiao.classes import SCORES, Baseline, Classes
from qingtiao.config import Settings, suggestion
from qingtiao.data.columns import texts_of, to_rows
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import ConfigError, DataError
from qingtiao.evaluate.calibrate import fit_temperature
from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.metrics import Ints
from qingtiao.models.chat_template import ChatFormat
from qingtiao.models.inputs import longest_fit
from qingtiao.models.label_words import prompts_batch, word_log_probabilities
from qingtiao.task import Feature, Output, Title
from qingtiao.types import Record, Row

_ASKING = (
    "请问周末营业到几点？",
    "这款杯子能放进微波炉吗",
    "你们家支持货到付款不？",
    "寄到拉萨大概要几天",
    "想问下发票是随货寄还是电子的",
    "小号适合多高的人穿呀",
    "會員積分在哪裡查？",
    "套餐里含不含接送机",
)
_COMPLAINING = (
    "等了九天还没发货，客服只会让我耐心等待",
    "箱子一打开全是碎的，这怎么用？",
    "说好的包邮，结账又多收我十二块",
    "上门维修约了三次，三次没人来😤",
    "退款申请卡了半个月，钱呢",
    "多收了一晚房费，打电话没人承认",
    "充了值第二天就倒闭，没人管吗",
    "广告关不掉，一天弹八回",
)
_PRAISING = (
    "师傅下雨天准时送到，还帮我搬上五楼，谢谢他",
    "要点名表扬前台的小陈，处理得又快又妥帖",
    "第三次回购了，品质一直没变，点赞",
    "客服姐姐一步步教我装好，太有耐心了",
    "护士扎针一点不疼，给她送面锦旗都行",
    "落在车上的钱包，司机专程给我送回来了",
    "老師批改得特別仔細，孩子進步很大，感謝",
    "换货当天就寄来新的，这售后没得挑",
)


class LabelScoringOptions(Settings):
    """Options of label scoring: what is asked, and the word for each label."""

    label_names: dict[str, str] = Field(
        default_factory=dict, description="给标签起名，例如 0: 负面 | names for the labels as they stand in the file"
    )
    words: dict[str, str] = Field(
        default_factory=dict,
        description="模型用哪个词说这个标签；不给就是标签本身 | what the model says for a label; its name when absent",
    )
    prompt: str = Field(
        "{text}\n\n上面这段文字属于哪一类？只回答其中一个：{words}。",
        pattern=r"\{text\}",
        description="怎么问：{text} 是文本，{words} 是所有标签词 | what is asked, around {text} and {words}",
    )


class TextInput(Settings):
    """One text."""

    text: str = Field(description="文本 | Text")


@dataclass(frozen=True, slots=True)
class Task:
    """A causal language model that may answer with the words of the labels and with nothing else."""

    title: ClassVar[Title] = Title("标签打分分类", "Classification by label likelihood")
    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "CAUSAL_LM"
    Options: ClassVar[type[Settings]] = LabelScoringOptions
    Input: ClassVar[type[Settings]] = TextInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        *({"text": text, "label": "咨询"} for text in _ASKING),
        *({"text": text, "label": "投诉"} for text in _COMPLAINING),
        *({"text": text, "label": "表扬"} for text in _PRAISING),
    )
    exclusive: ClassVar[bool] = True
    untaught: ClassVar[bool] = True
    scores: ClassVar[Mapping[str, bool]] = SCORES
    measures: ClassVar[tuple[Measure, ...]] = ()

    classes: Classes
    options: LabelScoringOptions

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes.labels

    @property
    def words(self) -> tuple[str, ...]:
        """What the model says for each of `labels`."""
        return tuple(self.options.words.get(label, label) for label in self.labels)

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, LabelScoringOptions)
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
        assert isinstance(options, LabelScoringOptions)
        task = cls(Classes.fit(rows), options)
        _refuse_words(task)
        return task

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(Classes.from_state(state), LabelScoringOptions(**state["options"]))

    def state(self) -> dict[str, Any]:
        return {**self.classes.state(), "options": self.options.model_dump()}

    def model_options(self) -> dict[str, Any]:
        return {}

    def check(self, rows: Sequence[Row]) -> None:
        self.gold(rows)

    def gold(self, rows: Sequence[Row]) -> Ints:
        """Class ids of the rows' targets, shape (rows,)."""
        return self.classes.ids(rows)

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        """Prompts, texts cut so that the longest word still fits behind them; `words` are the labels' tokens."""
        if not rows:
            return []
        chat = ChatFormat(tokenizer, thinking=False)
        words = self._tokens_of_words(chat)
        room = max_length - max(map(len, words))
        features = [self._prompt(row, chat, room) | {"words": words} for row in rows]
        if rows[0].target is not None:
            for feature, gold in zip(features, self.classes.ids(rows).tolist(), strict=True):
                feature["labels"] = gold
        return features

    def _prompt(self, row: Row, chat: ChatFormat, room: int) -> dict[str, Any]:
        ids = chat.question(self._asked(row.text))
        if len(ids) <= room:
            return {"input_ids": ids, "cut": False}
        ids = longest_fit(row.text, lambda text: chat.question(self._asked(text)), max_length=room)
        return {"input_ids": ids, "cut": True}

    def _asked(self, text: str) -> str:
        # The text last: it may hold what looks like a place to fill in.
        return self.options.prompt.replace("{words}", "、".join(self.words)).replace("{text}", text)

    def _tokens_of_words(self, chat: ChatFormat) -> tuple[tuple[int, ...], ...]:
        """The tokens of each word as the assistant says it, the one that ends its turn included."""
        tokens = [chat.reply(word) for word in self.words]
        same = next((pair for pair in _pairs(self.labels, tokens) if pair[0][1] == pair[1][1]), None)
        if same is not None:
            (one, _), (other, _) = same
            raise DataError(
                f"这个基座的分词器分不清标签 {one} 和 {other}：两者的词元一样",
                f"The tokenizer of this base cannot tell the labels {one} and {other} apart: their tokens are the same",
                todo_zh="用 --set task_options.words.标签=词 换成它认识的词。",
                todo_en="Give words that it knows: --set task_options.words.LABEL=WORD.",
            )
        return tuple(map(tuple, tokens))

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        prompts = [feature["input_ids"] for feature in features]
        batch = prompts_batch(prompts, features[0]["words"], tokenizer)
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([feature["labels"] for feature in features])
        return batch

    def weight(self, feature: Feature) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """How unlikely the right label was, in nats a row."""
        return torch.nn.functional.nll_loss(word_log_probabilities(model, batch), batch["labels"])

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return self.infer(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return list(word_log_probabilities(model, batch).float().cpu().numpy())

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


def _pairs(labels: Sequence[str], words: Sequence[Any]) -> Iterable[tuple[tuple[str, Any], tuple[str, Any]]]:
    """Labels whose words stand next to each other in order: equal ones do."""
    return pairwise(sorted(zip(labels, words, strict=True), key=lambda one: (one[1], one[0])))


def _refuse_words(task: Task) -> None:
    """Words for labels that are not there, or no word, or one word for two labels."""
    unknown = next((label for label in task.options.words if label not in task.labels), None)
    if unknown is not None:
        zh, en = suggestion(unknown, task.labels)
        raise ConfigError(
            f"task_options.words.{unknown}：没有这个标签{zh}",
            f"task_options.words.{unknown}: there is no such label{en}",
            todo_zh="标签有：" + "、".join(task.labels),
            todo_en="Labels: " + ", ".join(task.labels),
        )
    same = next((pair for pair in _pairs(task.labels, task.words) if pair[0][1] == pair[1][1] or not pair[0][1]), None)
    if same is not None:
        (one, word), (other, _) = same
        raise ConfigError(
            f"task_options.words：标签 {one} 和 {other} 要用两个不同的、不空的词，现在有 {word!r}",
            f"task_options.words: the labels {one} and {other} need two different words, none empty, not {word!r}",
            todo_zh="给每个标签一个自己的词。",
            todo_en="Give each label a word of its own.",
        )
