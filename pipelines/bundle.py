"""The bundle: a folder that needs nothing else to be served or audited.

    bundle.json    manifest: schema, task, base, adapter, metrics, data, seed, versions, file hashes
    adapter/       low-rank updates and head (safetensors); or model/ after full fine-tuning
    tokenizer/     tokenizer.json
    onnx/          the merged graph that is served, and parity.json
    README.md      model card

`write` stages it aside, proves that it reloads to the same logits and moves it into place.
`load` refuses a bundle of which one byte differs, naming the file.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_model, save_model
from transformers import PreTrainedModel

from pipelines.data.tokenization import TextTokenizer
from pipelines.errors import BundleError
from pipelines.models.adapters import load_adapter, merge, save_adapter
from pipelines.models.bases import load_encoder, resolve_base
from pipelines.prediction import OnnxRunner, Predictor, Runner, TorchRunner
from pipelines.storage import sha256, staged, write_json
from pipelines.tasks import create_task
from pipelines.tasks.task import Task

MANIFEST = "bundle.json"
SCHEMA_VERSION: Literal[1] = 1
Engine = Literal["onnx", "torch"]


class Manifest(BaseModel):
    """bundle.json. `task` is the task's settings, `metrics` the evaluation's values with intervals
    in points, `files` the sha256 of every other file of the bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    created: str
    task: dict[str, Any]
    base: dict[str, Any]
    adapter: dict[str, Any] | None
    trainable_parameters: int
    parameters: int
    seed: int
    data: dict[str, Any]
    primary_metric: str
    metrics: dict[str, dict[str, float]]
    parity: dict[str, Any]
    versions: dict[str, str]
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    folder: Path
    manifest: Manifest

    @property
    def task(self) -> Task:
        return create_task(self.manifest.task)

    def tokenizer(self) -> TextTokenizer:
        return TextTokenizer.from_file(self.folder / "tokenizer" / "tokenizer.json", self.task.max_length)

    def predictor(self, engine: Engine = "onnx", threads: int | None = None) -> Predictor:
        """The bundle ready to predict: its ONNX graph, or the base with the adapter in PyTorch."""
        runner: Runner = (
            OnnxRunner(self.folder / "onnx" / "model.onnx", threads)
            if engine == "onnx"
            else TorchRunner(merge(self.model()))
        )
        return Predictor(self.task, self.tokenizer(), runner)

    def model(self) -> PreTrainedModel:
        """The trained PyTorch model: needs the base, whose hash must be the one trained on."""
        base = self.manifest.base
        encoder = load_encoder(
            resolve_base(base["source"], base["name"], base["revision"], expected=base["sha256"])
        )
        model = self.task.build_model(encoder)
        if self.manifest.adapter is not None:
            return load_adapter(model, self.folder / "adapter")
        load_model(model, self.folder / "model" / "model.safetensors")
        return model


def write(
    destination: Path,
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    adapted: bool,
    fill: Callable[[Path], tuple[Manifest, str]],
    probe: Sequence[str],
) -> Bundle:
    """Stages a bundle, verifies it and moves it to `destination`.

    `fill` gets the staging folder, adds the ``onnx`` folder and returns the manifest (without
    hashes) and the model card. `probe` are texts on which the reloaded bundle must give the logits
    of `model`. Raises `BundleError` if it does not; nothing is left behind then.
    """
    with staged(destination) as folder:
        if adapted:
            save_adapter(model, folder / "adapter")
        else:
            (folder / "model").mkdir()
            save_model(model, str(folder / "model" / "model.safetensors"))
        (folder / "tokenizer").mkdir()
        tokenizer.save(folder / "tokenizer" / "tokenizer.json")
        manifest, card = fill(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        manifest = manifest.model_copy(update={"files": _hashes(folder)})
        write_json(folder / MANIFEST, manifest.model_dump())
        _verify_reload(Bundle(folder, manifest), model, tokenizer, probe)
    return Bundle(destination, manifest)


def load(folder: Path) -> Bundle:
    """The bundle in `folder`. Raises `BundleError` if it is missing, of another schema or damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}.")
    try:
        manifest = Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise BundleError(f"{path}: not a manifest of schema {SCHEMA_VERSION}: {error}") from None
    found = _hashes(folder)
    for name, expected in manifest.files.items():
        if found.get(name) != expected:
            state = "missing" if name not in found else "damaged: its sha256 is not the manifest's"
            raise BundleError(f"Bundle {folder}: {name} is {state}. Fetch or train the bundle again.")
    return Bundle(folder, manifest)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def _verify_reload(
    bundle: Bundle, model: PreTrainedModel, tokenizer: TextTokenizer, probe: Sequence[str]
) -> None:
    trained = Predictor(bundle.task, tokenizer, TorchRunner(merge(model))).logits(probe)
    reloaded = bundle.predictor("torch").logits(probe)
    if not np.allclose(trained, reloaded, atol=1e-4):
        raise BundleError(
            "The bundle does not reload to the trained model: logits differ by up to "
            f"{np.abs(trained - reloaded).max():.2g}. Nothing was written; please report this."
        )
