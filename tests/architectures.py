"""Every architecture that the presets name and some that they do not, at tiny random size, as files like the Hub's.

`save_architecture("qwen3", folder)` leaves a base that `load_base(str(folder), ...)` loads with any of the auto classes
in `ARCHITECTURES["qwen3"].heads`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tiny import save_byte_tokenizer, save_char_tokenizer

CLASSES = "AutoModelForSequenceClassification"
TAGS = "AutoModelForTokenClassification"
CAUSAL = "AutoModelForCausalLM"
SEQ2SEQ = "AutoModelForSeq2SeqLM"
EMBEDDING = "AutoModel"
IMAGE_TO_TEXT = "AutoModelForImageTextToText"

# PEFT's, by auto class. Its own type for embeddings passes `inputs_embeds` to the image tower too, which knows none.
PEFT_TASK_TYPES: dict[str, str | None] = {
    CLASSES: "SEQ_CLS",
    TAGS: "TOKEN_CLS",
    CAUSAL: "CAUSAL_LM",
    SEQ2SEQ: "SEQ_2_SEQ_LM",
    EMBEDDING: None,
    IMAGE_TO_TEXT: "CAUSAL_LM",
}

_HIDDEN = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_TABLE = {**_HIDDEN, "max_position_embeddings": 80}
_GROUPED = {**_TABLE, "num_key_value_heads": 1}
_IDS = {"bos_token_id": 2, "eos_token_id": 3}
_PADLESS = {"pad_token_id": None, **_IDS}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
_T5_IDS = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0}
_BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
    "decoder_start_token_id": 3,
    "forced_eos_token_id": 3,
    **_IDS,
}
_PATCHES = {"patch_size": 4, "depth": 2, "num_heads": 2, "hidden_size": 32, "intermediate_size": 64}
_MROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
_VISION_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_VISION_IDS = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 7, "vision_end_token_id": 8}


@dataclass(frozen=True, slots=True)
class Architecture:
    """`stored` is the transformers class that the files hold; `heads` the modules saved whole, by auto class."""

    stored: str
    config: str
    sizes: Mapping[str, Any]
    heads: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Any] = field(default_factory=dict)  # of the model class
    padless: bool = False  # its tokenizer is of bytes and has no pad token
    images: bool = False  # takes `pixel_values`


def _encoder(
    name: str, sizes: Mapping[str, Any], *, classes: str, tags: str = "classifier", **options: Any
) -> Architecture:
    heads = {CLASSES: tuple(classes.split()), TAGS: tuple(tags.split())}
    return Architecture(f"{name}Model", f"{name}Config", sizes, heads, options)


def _decoder(name: str, sizes: Mapping[str, Any], *, tags: str = "score", stored: str = "ForCausalLM") -> Architecture:
    heads = {CAUSAL: (), CLASSES: ("score",), TAGS: (tags,)}
    return Architecture(f"{name}{stored}", f"{name}Config", {**sizes, **_PADLESS}, heads, padless=True)


def _encoder_decoder(name: str, sizes: Mapping[str, Any], heads: Mapping[str, tuple[str, ...]]) -> Architecture:
    return Architecture(f"{name}ForConditionalGeneration", f"{name}Config", sizes, {SEQ2SEQ: (), **heads})


ENCODERS = {
    "bert": _encoder("Bert", _TABLE, classes="bert.pooler classifier", add_pooling_layer=False),
    "roberta": _encoder(
        "Roberta", {**_TABLE, "pad_token_id": 0, "type_vocab_size": 1}, classes="classifier", add_pooling_layer=False
    ),
    "electra": _encoder("Electra", {**_TABLE, "embedding_size": 16}, classes="classifier"),
    "ernie": _encoder("Ernie", _TABLE, classes="classifier"),
    "albert": _encoder("Albert", {**_TABLE, "embedding_size": 16}, classes="classifier"),
    "deberta_v2": _encoder(
        "DebertaV2",
        {**_TABLE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
        classes="classifier pooler",
    ),
    "distilbert": _encoder(
        "DistilBert",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 80},
        classes="classifier pre_classifier",
    ),
    "modernbert": _encoder(
        "ModernBert",
        {**_TABLE, **_IDS, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
        classes="classifier head",
        tags="classifier head",
    ),
    "xlm_roberta": _encoder("XLMRoberta", {**_TABLE, "pad_token_id": 0, "type_vocab_size": 1}, classes="classifier"),
    "megatron_bert": _encoder("MegatronBert", _TABLE, classes="classifier"),
}
DECODERS = {
    "qwen2": _decoder("Qwen2", {**_GROUPED, "tie_word_embeddings": True}),
    "qwen3": _decoder("Qwen3", {**_GROUPED, "head_dim": 16, "tie_word_embeddings": True}),
    "llama": _decoder("Llama", {**_GROUPED, "tie_word_embeddings": False}),
    "mistral": _decoder("Mistral", {**_GROUPED, "head_dim": 16, "tie_word_embeddings": False}),
    "gpt2": _decoder(
        "GPT2",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 80},
        tags="classifier",
        stored="LMHeadModel",
    ),
    "glm4": _decoder("Glm4", {**_GROUPED, "head_dim": 16}),
}
ENCODER_DECODERS = {
    "t5": _encoder_decoder("T5", {**_T5, **_T5_IDS}, {CLASSES: ("classification_head",), TAGS: ("classifier",)}),
    "mt5": _encoder_decoder(
        "MT5",
        {**_T5, **_T5_IDS, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        {CLASSES: ("classification_head",), TAGS: ("classifier",)},
    ),
    "bart": _encoder_decoder("Bart", _BART, {CLASSES: ("classification_head",)}),
    "pegasus": _encoder_decoder("Pegasus", _BART, {}),
    "mbart": _encoder_decoder("MBart", _BART, {CLASSES: ("classification_head",)}),
}
WITH_IMAGES = {
    "chinese_clip": Architecture(
        "ChineseCLIPModel",
        "ChineseCLIPConfig",
        {
            "text_config": {**_TABLE, "bos_token_id": 2},
            "vision_config": {**_HIDDEN, "image_size": 16, "patch_size": 8},
            "projection_dim": 16,
        },
        {EMBEDDING: ()},
        images=True,
    ),
    "qwen2_5_vl": Architecture(
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLConfig",
        {
            "text_config": {**_GROUPED, **_PADLESS, "rope_parameters": _MROPE},
            "vision_config": {**_PATCHES, "out_hidden_size": 32, "window_size": 16, "fullatt_block_indexes": [1]},
            **_VISION_IDS,
        },
        {IMAGE_TO_TEXT: ()},
        padless=True,
        images=True,
    ),
    "qwen3_vl": Architecture(
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLConfig",
        {
            "text_config": {**_GROUPED, **_PADLESS, "head_dim": 16, "rope_parameters": _MROPE},
            "vision_config": {
                **_PATCHES,
                "out_hidden_size": 32,
                "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0],
            },
            **_VISION_IDS,
        },
        {IMAGE_TO_TEXT: ()},
        padless=True,
        images=True,
    ),
}
ARCHITECTURES: dict[str, Architecture] = {**ENCODERS, **DECODERS, **ENCODER_DECODERS, **WITH_IMAGES}


def build_architecture(name: str, *, vocabulary: int) -> Any:
    """The model whose weights the files hold; random, but the same at every call."""
    import transformers

    kind = ARCHITECTURES[name]
    sizes = dict(kind.sizes)
    if "text_config" in sizes:
        sizes["text_config"] = {**sizes["text_config"], "vocab_size": vocabulary}
    else:
        sizes["vocab_size"] = vocabulary
    torch.manual_seed(0)
    model_class, config_class = getattr(transformers, kind.stored), getattr(transformers, kind.config)
    return model_class(config_class(**sizes), **kind.options)


def save_architecture(name: str, folder: Path, *, texts: Iterable[str] = ()) -> str:
    """Weights, config, a tokenizer that knows `texts` and, for CLIP, a processor; the folder's path."""
    kind = ARCHITECTURES[name]
    extra = _VISION_TOKENS if "image_token_id" in kind.sizes else ()
    if kind.padless:
        tokenizer = save_byte_tokenizer(folder, extra=extra, texts=texts)
    else:
        tokenizer = save_char_tokenizer(folder, characters=sorted({char for text in texts for char in text}) or None)
    build_architecture(name, vocabulary=len(tokenizer)).save_pretrained(folder)
    if name == "chinese_clip":
        save_clip_processor(folder, tokenizer)
    elif kind.images:
        save_qwen_vl_processor(folder, tokenizer)
    return str(folder)


def save_clip_processor(folder: Path, tokenizer: Any) -> None:
    """The processor of `ARCHITECTURES["chinese_clip"]`, whose images are 16 pixels a side."""
    from transformers import ChineseCLIPProcessor
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

    size = {"height": 16, "width": 16}
    images = ChineseCLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    ChineseCLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)


# Written as those of Qwen-VL are: a turn a line, an image as three special tokens where it stands.
_VL_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_qwen_vl_processor(folder: Path, tokenizer: Any) -> None:
    """A chat template and an image processor that makes a token of 8 x 8 pixels."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer.chat_template = _VL_TEMPLATE
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 64 * 16}
    Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2, size=size).save_pretrained(folder)


def load_options(auto_class: str) -> dict[str, Any]:
    """Keywords for `from_pretrained`: three classes where there are classes."""
    names = ("a", "b", "c")
    if auto_class not in (CLASSES, TAGS):
        return {}
    return {"num_labels": 3, "id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


def example_inputs(name: str, auto_class: str) -> dict[str, torch.Tensor]:
    """Two rows, the second padded; with what else the architecture wants to give logits."""
    ids = torch.tensor([[2, 20, 21, 22, 23, 24, 3], [2, 25, 26, 3, 0, 0, 0]])
    kind = ARCHITECTURES[name]
    inputs: dict[str, torch.Tensor] = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    if auto_class == SEQ2SEQ:
        inputs["decoder_input_ids"] = torch.tensor([[0, 30, 31], [0, 32, 33]])
    if name == "chinese_clip":
        inputs["pixel_values"] = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    elif kind.images:  # one image of four by four patches, merged two by two, in the first row
        ids[0, 1:5] = _VISION_IDS["image_token_id"]
        inputs["pixel_values"] = torch.linspace(-1, 1, 16 * 3 * 2 * 4 * 4).reshape(16, -1)
        inputs["image_grid_thw"] = torch.tensor([[1, 4, 4]])
        inputs["mm_token_type_ids"] = (ids == _VISION_IDS["image_token_id"]).int()
    return inputs


def logits_of(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The scores that the architecture gives, in evaluation mode; of a contrastive model those of texts by images."""
    model.eval()
    with torch.inference_mode():
        output = model(**inputs)
    scores: torch.Tensor = output.logits if "logits" in output else output.logits_per_text
    return scores
