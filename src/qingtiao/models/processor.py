"""What turns raw text and images into the base's inputs: its tokenizer, and what reads images beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qingtiao.errors import BaseModelError


@dataclass
class ImagesAndText:
    """A tokenizer beside an image processor.

    transformers' own processors of images and text read videos too, and for that ask for torchvision, of which there
    is no build for every machine. We need neither, and resize with PIL everywhere: another library would give slightly
    other pixels, and so other answers.

    Attributes:
        image_token_id: the token that stands for a piece of an image among the words; None where images and texts are
            read apart.
    """

    tokenizer: Any
    image_processor: Any
    image_token_id: int | None

    def save_pretrained(self, folder: str | Path) -> None:
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)


def tokenizer_of(processor: Any) -> Any:
    """The text tokenizer beside an image processor; a tokenizer is its own."""
    return processor.tokenizer if isinstance(processor, ImagesAndText) else processor


def stored_processor(location: str, *, processor_class: str, **where: Any) -> Any:
    """What the files of a folder or of a base hold, as they are: an `ImagesAndText` for `AutoProcessor`.

    Args:
        where: keywords for `from_pretrained`.

    Raises:
        BaseModelError: it takes no images though a processor of them was asked for.
    """
    import transformers

    where = {**where, "trust_remote_code": False}
    if processor_class != "AutoProcessor":
        return getattr(transformers, processor_class).from_pretrained(location, **where)
    tokenizer = transformers.AutoTokenizer.from_pretrained(location, **where)
    try:
        images = transformers.AutoImageProcessor.from_pretrained(location, backend="pil", **where)
    except (OSError, ValueError) as error:
        if "torchvision" in str(error):
            raise
        raise BaseModelError(
            f"基座 {location} 不能读图片",
            f"The base {location} takes no images",
            todo_zh="换一个图文基座，例如 OFA-Sys/chinese-clip-vit-base-patch16 或 Qwen/Qwen3-VL-2B-Instruct。",
            todo_en="Use a base of images and text, for example OFA-Sys/chinese-clip-vit-base-patch16 or "
            "Qwen/Qwen3-VL-2B-Instruct.",
        ) from None
    return ImagesAndText(tokenizer, images, None)


def load_processor(location: str, *, revision: str | None, processor_class: str) -> Any:
    """What turns inputs into the base's, by its files and its config.

    Raises:
        BaseModelError: the base takes no images though a processor of them was asked for, or its tokenizer is not
            the one it was trained with.
    """
    import transformers

    where: dict[str, Any] = {"revision": revision}
    processor = stored_processor(location, processor_class=processor_class, **where)
    config = transformers.AutoConfig.from_pretrained(location, trust_remote_code=False, **where)
    if isinstance(processor, ImagesAndText):
        processor.image_token_id = getattr(config, "image_token_id", None)
    rows = config.get_text_config().vocab_size
    if _knows(processor, rows):
        return processor
    # Chinese BART, T5 and GPT-2 bases come with BERT's vocab.txt. Where their files do not name the class, upstream
    # goes by the architecture, finds none of the files it expects and quietly returns a tokenizer of a few tokens.
    tokenizer = transformers.BertTokenizer.from_pretrained(location, trust_remote_code=False, **where)
    if not _knows(tokenizer, rows):
        raise BaseModelError(
            f"基座 {location} 的分词器只有 {len(tokenizer_of(processor))} 个词元，模型却有 {rows} 个",
            f"The tokenizer of {location} knows {len(tokenizer_of(processor))} tokens, but the model {rows}",
            todo_zh="检查目录里的分词器文件（tokenizer.json、vocab.txt 或 spiece.model）是不是这个模型的、全不全。",
            todo_en="Check that its files (tokenizer.json, vocab.txt or spiece.model) are there and of this model.",
        )
    return replace(processor, tokenizer=tokenizer) if isinstance(processor, ImagesAndText) else tokenizer


def _knows(processor: Any, rows: int) -> bool:
    """Whether it reads text. Embedding tables hold spare rows to make their size round, but never as many as half."""
    tokenizer = tokenizer_of(processor)
    words = len(tokenizer) - len(set(tokenizer.all_special_ids))
    return words > rows / 2 and len(tokenizer("文本", add_special_tokens=False)["input_ids"]) > 0


def close_gaps(processor: Any, model: Any) -> None:
    """Make tokenizer and model fit each other, whatever the files left out."""
    tokenizer = tokenizer_of(processor)
    _drop_segments_that_the_model_has_not(tokenizer, model)
    # Batches need a pad token. Decoders often have none: any token will do, since padding is masked.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    tokenizer.padding_side = "right"
    # Of images and text, the part that reads text has its own config, which heads look at.
    for config in (model.config, model.config.get_text_config()):
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = tokenizer.pad_token_id


def _drop_segments_that_the_model_has_not(tokenizer: Any, model: Any) -> None:
    """BERT's tokenizer numbers the segments of a pair. BART and T5 refuse the numbers, RoBERTa's table has one row,
    and GPT-2 would look them up among its words.
    """
    if getattr(model.config.get_text_config(), "type_vocab_size", 0) < 2:
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = names
        tokenizer.init_kwargs["model_input_names"] = names  # what is saved with it
