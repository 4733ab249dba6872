"""Which parameters learn how fast."""

import re
from collections.abc import Sequence
from typing import Any

import torch

from pipelines.config import TrainingConfig
from pipelines.models.adapters import is_adapter, is_b_matrix


def parameter_groups(
    model: torch.nn.Module, training: TrainingConfig, fresh_modules: Sequence[str], b_rate_ratio: float
) -> list[dict[str, Any]]:
    """Trainable parameters grouped by learning rate and weight decay, for AdamW.

    Fresh modules learn at `head_learning_rate`; B of an adapter at `b_rate_ratio` times A's rate
    (LoRA+, Hayou et al. 2024); in full fine-tuning each layer below the top one at `layer_decay`
    times the rate of the one above (Howard and Ruder 2018). Biases, norms and adapters have no
    weight decay.
    """
    depth = 1 + max((_layer(name) for name, _ in model.named_parameters()), default=0)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = training.learning_rate
        if any(f".{module}." in f".{name}" for module in fresh_modules):
            rate = training.head_learning_rate
        elif is_b_matrix(name):
            rate *= b_rate_ratio
        elif not is_adapter(name):
            rate *= training.layer_decay ** (depth - 1 - _layer(name))
        decay = 0.0 if parameter.ndim < 2 or is_adapter(name) else training.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _layer(name: str) -> int:
    """The layer's index in a parameter's name; embeddings count as below the first layer."""
    found = re.search(r"\blayers?\.(\d+)\.", name)
    return int(found[1]) if found else -1
