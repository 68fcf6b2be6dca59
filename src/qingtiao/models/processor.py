"""What turns raw text and images into the base's inputs: its tokenizer, or a processor that holds one."""

from __future__ import annotations

from typing import Any

from qingtiao.errors import BaseModelError


def tokenizer_of(processor: Any) -> Any:
    """The text tokenizer inside a processor of images and text; a tokenizer is its own."""
    return getattr(processor, "tokenizer", processor)


def load_processor(location: str, *, revision: str | None, processor_class: str) -> Any:
    """What the transformers class `processor_class` makes of the base's files.

    Raises:
        BaseModelError: the base takes no images though a processor of them was asked for, or its tokenizer is not
            the one it was trained with.
    """
    import transformers

    where = {"revision": revision, "trust_remote_code": False}
    processor = getattr(transformers, processor_class).from_pretrained(location, **where)
    if processor_class == "AutoProcessor" and tokenizer_of(processor) is processor:
        raise BaseModelError(
            f"基座 {location} 不能读图片",
            f"The base {location} takes no images",
            todo_zh="换一个图文基座，例如 OFA-Sys/chinese-clip-vit-base-patch16。",
            todo_en="Use a base of images and text, for example OFA-Sys/chinese-clip-vit-base-patch16.",
        )
    rows = transformers.AutoConfig.from_pretrained(location, **where).get_text_config().vocab_size
    if _knows(processor, rows):
        return processor
    # Chinese BART, T5 and GPT-2 bases come with BERT's vocab.txt. Where their files do not name the class, upstream
    # goes by the architecture, finds none of the files it expects and quietly returns a tokenizer of a few tokens.
    tokenizer = transformers.BertTokenizer.from_pretrained(location, **where)
    if not _knows(tokenizer, rows):
        raise BaseModelError(
            f"基座 {location} 的分词器只有 {len(tokenizer_of(processor))} 个词元，模型却有 {rows} 个",
            f"The tokenizer of {location} knows {len(tokenizer_of(processor))} tokens, but the model {rows}",
            todo_zh="检查目录里的分词器文件（tokenizer.json、vocab.txt 或 spiece.model）是不是这个模型的、全不全。",
            todo_en="Check that its files (tokenizer.json, vocab.txt or spiece.model) are there and of this model.",
        )
    if tokenizer_of(processor) is processor:
        return tokenizer
    processor.tokenizer = tokenizer
    return processor


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
