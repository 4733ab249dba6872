"""A text classifier: a transformer encoder, a pooling of its vectors and a small head."""

from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

Pooling = Literal["mean", "cls", "max"]


class PooledClassifier(PreTrainedModel):
    """``logits = head(pool(encoder(text)))``.

    `hidden` inserts one tanh layer of that width into the head. It is a `PreTrainedModel` (with
    the encoder's config) so that transformers' Trainer and exporters take it as one of theirs; it
    is saved through an adapter or a bundle, never by `save_pretrained`.
    """

    # The encoder inside chose its attention kernel already; the wrapper takes any.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(
        self,
        encoder: PreTrainedModel,
        labels: list[str],
        pooling: Pooling = "mean",
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(encoder.config)
        self.config.id2label = dict(enumerate(labels))
        self.config.label2id = {label: index for index, label in enumerate(labels)}
        self.pooling = pooling
        self.encoder = encoder
        width = encoder.config.hidden_size
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if hidden is not None:
            layers += [nn.Linear(width, hidden), nn.Tanh(), nn.Dropout(dropout)]
        layers.append(nn.Linear(hidden or width, len(labels)))
        self.head = nn.Sequential(*layers)
        self.all_tied_weights_keys: dict[str, str] = {}

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits of shape ``(batch, labels)`` for ids and mask of shape ``(batch, sequence)``.

        With `labels` of shape ``(batch,)`` the output also has the mean cross-entropy loss.
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        logits = self.head(pool(states, attention_mask, self.pooling))
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector a text: ``(batch, sequence, width)`` and ``(batch, sequence)`` → ``(batch, width)``.

    ``mean`` and ``max`` leave padding out; ``cls`` takes the first token.
    """
    if pooling == "cls":
        return states[:, 0]
    weights = mask.unsqueeze(-1).to(states.dtype)
    if pooling == "mean":
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    return states.masked_fill(weights == 0, torch.finfo(states.dtype).min).amax(dim=1)
