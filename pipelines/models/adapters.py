"""Low-rank updates of attention projections; the only module that knows `peft`."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from pipelines.models.projections import module_names


def add_adapter(
    model: PreTrainedModel,
    model_type: str,
    projections: list[str],
    rank: int,
    alpha: float,
    fresh_modules: Sequence[str],
    dropout: float = 0.0,
    rank_stabilised: bool = False,
) -> PeftModel:
    """Freezes `model` and adds trainable W + scale · B·A to the chosen projections.

    `fresh_modules` (a head) are trained fully and saved with the adapter. B starts at zero, so the
    adapted model starts out equal to the base. Raises `ModelError` for an unknown projection.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        use_rslora=rank_stabilised,
        target_modules=module_names(model, model_type, projections),
        modules_to_save=list(fresh_modules),
    )
    with _quiet():
        return get_peft_model(model, config)


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Writes adapter and fresh modules to `folder` as safetensors."""
    with _quiet():
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def load_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """`model` with the adapter and the fresh modules of `folder`."""
    with _quiet():
        return PeftModel.from_pretrained(model, str(folder))


def merge(model: torch.nn.Module) -> PreTrainedModel:
    """The plain model with B·A added to its weights; `model` itself stays as it is."""
    if not isinstance(model, PeftModel):
        return model
    return copy.deepcopy(model).merge_and_unload()


def is_b_matrix(parameter_name: str) -> bool:
    """Whether a parameter is the B of a low-rank update (LoRA+ gives it a rate of its own)."""
    return ".lora_B." in parameter_name


def is_adapter(parameter_name: str) -> bool:
    return ".lora_" in parameter_name


@contextmanager
def _quiet() -> Iterator[None]:
    """peft asks transformers through names that are on their way out, and says so at every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
