"""An encoder-decoder out of an encoder: what writes text is new, what reads it is the base.

So a base that can only read is trained to write: the decoder is small and random, attends to all that the encoder
gives, and shares the encoder's word embeddings, on both of its ends. Whatever is new is trained whole and saved with
the adapter; files without a decoder therefore make the same model again from their config and the number of layers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

from qingtiao.errors import BaseModelError

_HEAD_WIDTH = 64  # units of one attention head
_WIDENING = 4  # the feed-forward layer over the width (Vaswani et al. 2017, section 3.3)


def only_reads(location: str, *, revision: str | None) -> bool:
    """Whether transformers knows the architecture as an encoder and as nothing that writes from what was read."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    )

    kind = type(AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False))
    return kind in MODEL_FOR_MASKED_LM_MAPPING and kind not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING


def with_decoder(
    masked: Any, missing: Collection[str], tokenizer: Any, *, layers: int, name: str
) -> tuple[Any, set[str]]:
    """The encoder inside the masked language model `masked` with a new decoder, and which parameters are new.

    The decoder is drawn from torch's global generator.

    Args:
        masked: loaded as a masked language model, because that is how an encoder comes without a pooler.
        missing: parameters of `masked` that its files did not hold.
        name: the base as the user named it.

    Raises:
        BaseModelError: the tokenizer marks neither where a text begins nor where it ends.
    """
    from transformers import EncoderDecoderConfig, EncoderDecoderModel

    encoder = masked.base_model
    ids = _special_ids(tokenizer, name)
    table = encoder.get_input_embeddings()
    decoder = _new_decoder(encoder.config, table, ids, layers=layers)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder.config, decoder.config, **ids)
    model = EncoderDecoderModel(config=config, encoder=encoder, decoder=decoder)
    prefix = f"{masked.base_model_prefix}."
    fresh = {f"encoder.{key.removeprefix(prefix)}" for key in missing if key.startswith(prefix)}
    # Under all of its names: the shared table has one in the decoder as well, and is not new.
    for key, parameter in model.named_parameters(remove_duplicate=False):
        if not key.startswith("encoder.") and parameter is not table.weight:
            fresh.add(key)
    return model, fresh


def _special_ids(tokenizer: Any, name: str) -> dict[str, int]:
    start = tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id
    end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    if start is None or end is None:
        raise BaseModelError(
            f"基座 {name} 的分词器没有标记文本开头和结尾的词元，接不上解码器",
            f"The tokenizer of {name} marks no beginning and no end of a text, so no decoder can be put on it",
            todo_zh="换一个 BERT 一类的编码器，或者 mT5、BART 这样本来就能生成的基座。",
            todo_en="Use an encoder like BERT, or a base that writes by itself, such as mT5 or BART.",
        )
    return {
        "decoder_start_token_id": start,
        "bos_token_id": start,
        "eos_token_id": end,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _new_decoder(encoder: Any, table: Any, ids: dict[str, int], *, layers: int) -> Any:
    """A decoder of `layers` layers as wide as the embeddings `table` (tokens, width), which it shares.

    Of the decoders that attend to an encoder mBART's is taken because it normalises before each part: without
    pre-training that learns at higher rates (Xiong et al. 2020).
    """
    from transformers import MBartConfig, MBartForCausalLM

    tokens, width = table.weight.shape
    heads = next(n for n in range(max(1, width // _HEAD_WIDTH), 0, -1) if width % n == 0)
    config = MBartConfig(
        vocab_size=tokens,
        d_model=width,
        decoder_layers=layers,
        encoder_layers=layers,  # there are none, but upstream reads the depth of the model here
        decoder_attention_heads=heads,
        decoder_ffn_dim=_WIDENING * width,
        max_position_embeddings=encoder.max_position_embeddings,
        is_decoder=True,
        is_encoder_decoder=False,
        add_cross_attention=True,
        scale_embedding=False,
        forced_eos_token_id=None,
        **ids,
    )
    decoder = MBartForCausalLM(config)
    decoder.set_input_embeddings(table)
    decoder.get_output_embeddings().weight = table.weight
    for layer in decoder.get_decoder().layers:
        _pass_on(layer.encoder_attn)
    return decoder


def _pass_on(attention: Any) -> None:
    """Let attention to the encoder hand on what it finds unchanged: whatever is attended to, that word gets likelier.

    An encoder's output still tells its token apart: times the word embeddings it is largest for that very token (for
    `mini-zh` in 99.6 % of the tokens of 32 abstracts). Copying, most of what a summary is, so needs not be learnt,
    only where to look.
    """
    for projection in (attention.v_proj, attention.out_proj):
        nn.init.eye_(projection.weight)
