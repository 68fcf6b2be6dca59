"""Text to text by an encoder-decoder: summaries, headlines, translations, keywords written out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from qingtiao.answers import Answer, Text
from qingtiao.config import Settings
from qingtiao.data.normalise import Normaliser
from qingtiao.evaluate.measures import Measure
from qingtiao.evaluate.overlap import OVERLAP, Words, overlap_rows, words_of
from qingtiao.evaluate.retrieval import most_similar
from qingtiao.language import say
from qingtiao.models.encoder_decoder import ends, log_probabilities, mean_loss, texts_of_ids, written
from qingtiao.models.inputs import encode_texts, pad, padded_labels
from qingtiao.sources_targets import (
    first_sentence,
    references,
    refuse_lost_spaces,
    refuse_untold,
    source_rows,
)
from qingtiao.task import Baseline, Feature, Output, Title
from qingtiao.types import Record, Row

_SAMPLES = (
    (
        "昨天夜里起，本市普降大雪，城区积雪最深处达到二十厘米。交警部门提醒，今早高峰期间多条高架限速通行，请市民尽量改乘地铁。",
        "全市普降大雪，高架限速通行",
    ),
    (
        "经过三年修缮，始建于清末的东门老码头本周六重新开放。栈桥和钟楼都按旧照片复原，附近还新增了一座航运小展馆，免费参观。",
        "东门老码头修缮后周六重新开放",
    ),
    (
        "县图书馆从下月起把闭馆时间推迟到晚上十点。馆长说，许多上班族下班后才有空看书，试行一个月来晚间读者多了四成。",
        "县图书馆下月起延时到晚上十点",
    ),
    (
        "研究人员发现，一种常见的土壤细菌能在两周内分解大半的农膜碎片。这一过程不需要高温，有望用于清理农田里的残膜。",
        "土壤细菌可在两周内分解农膜碎片",
    ),
    (
        "在昨晚的女排联赛中，主队先丢两局后连扳三局，以三比二逆转卫冕冠军。主攻手林悦独得二十九分，赛后她说全靠队友保护到位。",
        "女排联赛主队连扳三局逆转卫冕冠军",
    ),
    (
        "受连日暴雨影响，青石岭路段昨天下午发生山体滑坡，双向交通中断。目前没有人员伤亡，抢修预计需要两天，过往车辆请绕行省道。",
        "青石岭山体滑坡致交通中断，抢修需两天",
    ),
    (
        "一家社区菜店推出“一人食”小份菜，半根胡萝卜、两朵西兰花也单独出售。店主算过账，损耗少了一半，独居的年轻人和老人都爱来买。",
        "社区菜店卖小份菜，损耗减半受欢迎",
    ),
    (
        "教育局今天公布新学期校历，中小学九月一日统一开学，寒假从一月十八日开始。今年首次把春假三天写进校历，各校不得占用补课。",
        "新学期校历公布，首次设三天春假",
    ),
    (
        "天文台消息，双子座流星雨将在本周四凌晨达到极大，每小时可见上百颗。今年恰逢新月，没有月光干扰，只要避开城市灯光即可肉眼观看。",
        "双子座流星雨周四凌晨极大，肉眼可见",
    ),
    (
        "地铁五号线北延段今天试运行，新增六座车站，从大学城到市中心缩短至三十五分钟。试运行期间不载客，年底正式开通。",
        "地铁五号线北延段试运行，年底开通",
    ),
    (
        "针对老旧小区停车难，街道把一处闲置的厂房改成了立体车库，增加泊位一百八十个。居民夜间包月每月一百五十元，白天对外开放。",
        "闲置厂房改立体车库，新增泊位一百八十个",
    ),
    (
        "海关在一批进口原木中截获两种从未在国内发现的蛀虫。这批木材已经全部熏蒸处理，专家说它们一旦扩散会危害松林。",
        "海关在进口原木中截获两种新蛀虫",
    ),
    (
        "七十三岁的木匠周师傅花了四年，用榫卯做出一座一比二十的廊桥模型，没有用一颗钉子。模型已捐给县博物馆，下月展出。",
        "老木匠四年做成无钉廊桥模型并捐赠",
    ),
    (
        "手機廠商昨日發佈新款摺疊屏手機，重量降到二百一十克，合上後厚度不到一厘米。起售價比上代低一千元，本週五開賣。",
        "新款摺疊屏手機更輕更便宜，週五開賣",
    ),
    (
        "一项覆盖两千名中学生的调查显示，睡前一小时不碰手机的学生，平均入睡快二十分钟。研究者建议家长也以身作则。",
        "调查：睡前不碰手机的中学生入睡更快",
    ),
    (
        "今年夏粮收购接近尾声，全省累计收购小麦八百二十万吨，比去年同期多出百分之六。优质强筋小麦价格上涨，农户种植意愿增强。",
        "全省夏粮收购同比增百分之六",
    ),
    (
        "市动物园的亚洲象“阿朵”昨天产下一头雌性幼崽，体重九十八公斤，母子平安。园方将面向公众征集名字，幼象两个月后与游客见面。",
        "动物园亚洲象产崽，园方征集名字",
    ),
    (
        "受寒潮影响，未来三天最低气温将下降十二度，北部山区有霜冻。农技站提醒菜农及时覆膜，果园可在夜间熏烟防冻。",
        "寒潮将至，农技站提醒菜农果农防冻",
    ),
    (
        "一款记账应用因默认勾选开通会员被用户起诉。法院认为这种做法侵害了消费者的选择权，判决公司退还费用并公开道歉。",
        "记账应用默认开通会员，被判退费道歉",
    ),
    (
        "跨江大桥主缆今天全部架设完成，共用去钢丝三万余公里。大桥全长四点二公里，建成后两岸车程将从一小时缩短到八分钟。",
        "跨江大桥主缆架设完成",
    ),
    (
        "考古队在河湾遗址清理出一座四千年前的陶窑，窑内还留着没有烧成的陶罐。专家认为，这里曾是向周边聚落供应陶器的作坊。",
        "河湾遗址发现四千年前陶窑",
    ),
    (
        "校园里的咖啡渣以前都当垃圾扔掉，如今被学生社团收去堆肥，两年种出了半亩菜园。食堂每周用上一次他们的青菜。",
        "学生社团用咖啡渣堆肥种出菜园",
    ),
    (
        "本届书展昨晚闭幕，五天接待读者二十三万人次。最畅销的不是小说，而是一本教人修理家电的手册，首印两万册全部售完。",
        "书展闭幕，家电修理手册最畅销",
    ),
    (
        "医院在门诊大厅设了“陪诊志愿者”岗位，由退休护士帮独自就医的老人挂号、取药、读化验单。三个月来已服务一千四百人次。",
        "医院设陪诊志愿者，已助老人就医一千四百人次",
    ),
)


class Seq2SeqOptions(Settings):
    """Options of text to text."""

    prefix: str = Field("", description="加在每条输入前面的话，例如 写标题： | put before every input")
    separator: str = Field(
        "",
        description=(
            "目标是列表时用什么连成一句；不给就当作几种都对的答案"
            " | joins a list in the target column into one text; without it a list holds alternatives"
        ),
    )
    max_target_length: int = Field(64, ge=2, le=512, description="最多写多少个词元 | longest output in tokens")
    beams: int = Field(1, ge=1, le=16, description="束搜索的宽度，1 为贪心 | beam width; 1 is greedy")
    length_penalty: float = Field(
        1.0, ge=-5, le=5, description="束搜索时大于 0 偏长、小于 0 偏短 | with beams, above 0 favours long outputs"
    )
    no_repeat_ngram: int = Field(
        0,
        ge=0,
        le=32,
        description="不许重复的词元串长度，0 为不限 | length of n-grams that must not recur; 0 allows all",
    )
    new_decoder_layers: int = Field(
        3,
        ge=1,
        le=24,
        description="基座只会读（如 mini-zh）时新解码器的层数 | layers of the new decoder where a base can only read",
    )


class SourceInput(Settings):
    """One text to write from."""

    text: str = Field(description="原文 | Source text", json_schema_extra={"widget": "long"})


@dataclass(frozen=True, slots=True)
class Task:
    """An encoder-decoder that writes the first reference; `words` is how BLEU cuts texts like the references."""

    title: ClassVar[Title] = Title("文本到文本（摘要、翻译）", "Text to text (summaries, translations)")
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    processor_class: ClassVar[str] = "AutoTokenizer"
    peft_task_type: ClassVar[str] = "SEQ_2_SEQ_LM"
    Options: ClassVar[type[Settings]] = Seq2SeqOptions
    Input: ClassVar[type[Settings]] = SourceInput
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = tuple({"text": t, "summary": s} for t, s in _SAMPLES)
    exclusive: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, bool]] = {"loss": False, "perplexity": False}
    measures: ClassVar[tuple[Measure, ...]] = OVERLAP

    options: Seq2SeqOptions
    words: Words

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def parse(
        cls, records: Iterable[Record], *, options: Settings, columns: Mapping[str, str], labelled: bool
    ) -> list[Row]:
        assert isinstance(options, Seq2SeqOptions)
        return source_rows(records, columns=columns, separator=options.separator, labelled=labelled)

    @classmethod
    def normalised(cls, row: Row, normaliser: Normaliser) -> Row:
        # What is to be written stays as people wrote it.
        return row.with_text(normaliser(row.text))

    @classmethod
    def fit(cls, rows: Sequence[Row], options: Settings) -> Self:
        assert isinstance(options, Seq2SeqOptions)
        return cls(options, words_of([row.target[0] for row in rows]))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        words = state["words"]
        if words not in ("zh", "13a"):
            raise ValueError(f"words must be zh or 13a, not {words!r}")
        return cls(Seq2SeqOptions(**state["options"]), words)

    def state(self) -> dict[str, Any]:
        return {"options": self.options.model_dump(), "words": self.words}

    def model_options(self) -> dict[str, Any]:
        return {"new_decoder_layers": self.options.new_decoder_layers}

    def check(self, rows: Sequence[Row]) -> None:
        refuse_untold(rows, "target")

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        features = encode_texts(tokenizer, [self.options.prefix + row.text for row in rows], max_length=max_length)
        if rows and rows[0].target is not None:
            targets = tokenizer(
                text_target=[row.target[0] for row in rows],
                truncation=True,
                max_length=self.options.max_target_length,
            )
            if self.words != "zh":
                refuse_lost_spaces(rows, targets["input_ids"], tokenizer)
            for feature, ids in zip(features, targets["input_ids"], strict=True):
                feature["labels"] = _ended(ids, tokenizer)
        return features

    def collate(self, features: Sequence[Feature], tokenizer: Any) -> dict[str, torch.Tensor]:
        # Segments and whatever else a tokenizer adds is not for encoder-decoders.
        batch = pad([{name: f[name] for name in ("input_ids", "attention_mask")} for f in features], tokenizer)
        if "labels" in features[0]:
            batch["labels"] = padded_labels(features, max(len(feature["labels"]) for feature in features))
        return batch

    def weight(self, feature: Feature) -> int:
        return len(feature["labels"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return mean_loss(model, batch)

    def judge(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        return log_probabilities(model, batch)

    def infer(self, model: Any, batch: Mapping[str, torch.Tensor]) -> list[Output]:
        options = self.options
        return written(
            model,
            batch,
            beams=options.beams,
            max_new_tokens=options.max_target_length,
            length_penalty=options.length_penalty if options.beams > 1 else 1.0,  # else it would be told to be unused
            early_stopping=options.beams > 1,
            no_repeat_ngram_size=options.no_repeat_ngram,
        )

    def tune(self, outputs: Sequence[Output], rows: Sequence[Row]) -> Self:
        return self

    def decode(self, outputs: Sequence[Output], rows: Sequence[Row], tokenizer: Any) -> list[Answer]:
        texts = texts_of_ids(outputs, tokenizer)
        return [
            Text(text, None if ends(ids, tokenizer) else self._unfinished())
            for text, ids in zip(texts, outputs, strict=True)
        ]

    def _unfinished(self) -> str:
        limit = self.options.max_target_length
        return say(f"没写完：到了 {limit} 个词元的上限", f"unfinished: the limit of {limit} tokens was reached")

    def blank_answer(self) -> Answer:
        return Text("", say("空文本：没有可写的", "empty text: there is nothing to write from"))

    def score(self, outputs: Sequence[Output], rows: Sequence[Row]) -> dict[str, float]:
        """Over the tokens of the first references: the loss in nats a token, and its exponential."""
        loss = -float(np.concatenate(outputs).astype(np.float64).mean())
        return {"loss": loss, "perplexity": float(np.exp(loss))}

    def measure(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        return overlap_rows([_text(answer) for answer in answers], references(rows), words=self.words)

    def baselines(self, rows: Sequence[Row], *, seed: int) -> Mapping[str, Baseline]:
        """The target of the most similar training row; of the source itself its first sentence, a beginning, and all.

        The beginning is as long as half of the training targets are.
        """
        usual = round(median(len(row.target[0]) for row in rows))
        nearest, targets = most_similar([row.text for row in rows]), [Text(row.target[0]) for row in rows]
        return {
            "memory": lambda asked: [targets[one] for one in nearest([row.text for row in asked])],
            "lead": lambda asked: [Text(first_sentence(row.text)) for row in asked],
            "lead_k": lambda asked: [Text(row.text[:usual]) for row in asked],
            "copy": lambda asked: [Text(row.text) for row in asked],
        }


def _ended(ids: list[int], tokenizer: Any) -> list[int]:
    """Label ids that end with a special token: a model that never saw an end writes on and on."""
    if ids and ids[-1] in tokenizer.all_special_ids:
        return ids
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    return ids if end is None else [*ids, end]


def _text(answer: Answer) -> str:
    assert isinstance(answer, Text)
    return answer.text
