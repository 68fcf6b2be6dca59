"""The encoder, what is asked of it in pre-training, and the folder that is shipped."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mini_zh.batches import Batch
from mini_zh.lexicon import FEELINGS
from mini_zh.tokens import CLS, PAD, SEP

LONGEST = 512
NEGATIVES = 4096  # tokens in the sampled softmax; the whole vocabulary costs as much as the encoder
TEMPERATURE = 0.05
WEIGHTS = {"words": 1.0, "pairs": 0.2, "polarity": 0.5, "feelings": 0.5}


def encoder_config(vocab: int, width: int, depth: int) -> Any:
    """ModernBERT's shape at a fortieth of its size.

    Rotary positions: what is learnt on short texts holds on long ones (learned positions trained at 64 cost 1.4 of
    loss at 128). Mean pooling: masked-token training never asks [CLS] to sum a text up.
    """
    from transformers import ModernBertConfig

    return ModernBertConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        max_position_embeddings=LONGEST,
        layer_types=["full_attention"] * depth,
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 10_000.0}},
        classifier_pooling="mean",
        pad_token_id=PAD,
        cls_token_id=CLS,
        sep_token_id=SEP,
        bos_token_id=CLS,
        eos_token_id=SEP,
    )


class Pretraining(nn.Module):
    """An encoder under four objectives: masked words, passages that continue one another, polarity, feelings."""

    def __init__(self, config: Any, embeddings: torch.Tensor, frequency: torch.Tensor) -> None:
        """`frequency`: share of each token in the corpus, shape (vocab,)."""
        from transformers import ModernBertModel
        from transformers.models.modernbert.modeling_modernbert import ModernBertPredictionHead

        super().__init__()
        width = config.hidden_size
        self.encoder = ModernBertModel(config)
        self.head = ModernBertPredictionHead(config)  # the one a classifier begins with: it reads the pooled text
        self.words = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.log(frequency + 1e-7))
        self.polarity = nn.Linear(width, 1)
        self.feelings = nn.Linear(width, len(FEELINGS))
        nn.init.normal_(self.head.dense.weight, std=width**-0.5)
        with torch.no_grad():
            self.encoder.embeddings.tok_embeddings.weight.copy_(embeddings)
        # Some pieces are only met where merges are dropped: a chance of nothing would make an infinite logit.
        proposal = frequency.clamp(min=1e-8) ** 0.75
        self.register_buffer("proposal", proposal / proposal.sum(), persistent=False)

    def pooled(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What `ModernBertForSequenceClassification` classifies; shape (R, width)."""
        if mask is None:
            return self.head(hidden.mean(1))
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weight).sum(1) / weight.sum(1))

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        hidden = self.encoder(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        asked = batch.labels != -100
        losses = {"words": self._words(hidden[asked], batch.labels[asked])}
        pooled = self.pooled(hidden, batch.attention_mask)
        if bool(batch.paired.any()):
            losses["pairs"] = _continuation(pooled, batch.paired)
        judged = batch.polarity >= 0
        if bool(judged.any()):
            logits = self.polarity(pooled[judged]).squeeze(-1)
            losses["polarity"] = functional.binary_cross_entropy_with_logits(logits, batch.polarity[judged].float())
        told = ~batch.feelings.isnan().any(1)
        if bool(told.any()):
            losses["feelings"] = functional.binary_cross_entropy_with_logits(
                self.feelings(pooled[told]), batch.feelings[told]
            )
        return losses

    def _words(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sampled softmax (Jean et al. 2015): the targets of the batch and `NEGATIVES` drawn by frequency."""
        table = self.encoder.embeddings.tok_embeddings.weight
        drawn = torch.multinomial(self.proposal, min(NEGATIVES, len(self.proposal)))
        candidates, place = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
        chance = -torch.expm1(-NEGATIVES * self.proposal[candidates])  # of being among the candidates
        logits = self.words(hidden) @ table[candidates].T + self.bias[candidates] - chance.log()
        return functional.cross_entropy(logits.float(), place[: len(targets)])

    @torch.no_grad()
    def full_loss(self, batch: Batch) -> float:
        """The masked-word loss over the whole vocabulary, in nats."""
        hidden = self.encoder(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        asked = batch.labels != -100
        logits = self.words(hidden[asked]) @ self.encoder.embeddings.tok_embeddings.weight.T + self.bias
        return functional.cross_entropy(logits.float(), batch.labels[asked]).item()


def _continuation(pooled: torch.Tensor, paired: torch.Tensor) -> torch.Tensor:
    """InfoNCE between the two halves of a passage, the other rows of the batch as negatives (DeCLUTR)."""
    unit = functional.normalize(pooled, dim=-1)
    likeness = unit @ unit.T / TEMPERATURE
    likeness.fill_diagonal_(float("-inf"))
    partner = torch.arange(len(pooled), device=pooled.device) ^ 1
    return functional.cross_entropy(likeness[paired], partner[paired])


def optimizer(model: Pretraining, peak: float) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), eps=1e-6, fused=True)
