"""A run's configuration: one complete YAML file, checked as a whole before anything is done.

`load_config` reads the file, applies ``--set a.b=c`` overrides and reports every mistake in one
`ConfigError`, each with its path and, where the file has it, its line and column. There is no
inheritance between files and no interpolation: what a file says is what runs.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.errors import ConfigError, problems
from pipelines.tasks.settings import SentimentSettings


class Section(BaseModel):
    """A part of the configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseModelConfig(Section):
    """The pretrained transformer that a run starts from."""

    source: Literal["packaged", "path", "hub"] = Field(
        "packaged",
        description="packaged: installed with aasaan, works offline. path: a local folder. "
        "hub: a Hugging Face id with a pinned revision.",
    )
    name: str = Field("all-MiniLM-L6-v2", description="Packaged name, folder or hub id.")
    revision: str | None = Field(None, description="hub only, required there: a full commit hash.")

    @model_validator(mode="after")
    def _pinned(self) -> BaseModelConfig:
        if self.source == "hub" and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError(
                f"a hub base needs a pinned revision: a commit hash of 40 hex digits, found {self.revision!r}"
            )
        return self


class SplitFractions(Section):
    """Shares of the rows for each split of data that comes unsplit; groups stay whole."""

    train: float = Field(0.8, gt=0, lt=1)
    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitFractions:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, found {total:g}")
        return self


class DataConfig(Section):
    """Where labelled examples come from and how they are split."""

    source: Literal["packaged", "file", "hub"] = Field(
        "packaged",
        description="packaged: the corpus that ships with aasaan. file: local CSV, TSV, JSONL or "
        "Parquet. hub: a Hugging Face data set id.",
    )
    name: str | None = Field(None, description="Packaged corpus (the task's own if null) or hub id.")
    revision: str | None = Field(None, description="hub only, required there: a full commit hash.")
    files: dict[Literal["all", "train", "validation", "test"], Path] = Field(
        default_factory=dict,
        description="file only: one file under `all`, split here; or `train` and `validation` "
        "(and `test`). Paths are relative to the working directory.",
    )
    splits: dict[Literal["all", "train", "validation", "test"], str] = Field(
        default_factory=dict, description="hub only: our split → the hub data set's split."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="The task's column → the column in the data, where the names differ.",
    )
    label_map: dict[str, str] = Field(
        default_factory=dict, description="Label in the data → label of the task, e.g. '1': positive."
    )
    fractions: SplitFractions = Field(default_factory=SplitFractions)
    duplicates: Literal["error", "drop"] = Field(
        "error",
        description="A text that is in more than one of the given splits: refuse, or drop it "
        "from the earlier one (train before validation before test) and count it.",
    )

    @model_validator(mode="after")
    def _complete(self) -> DataConfig:
        given = self.files if self.source == "file" else self.splits
        if self.source == "packaged":
            if self.files or self.splits:
                raise ValueError("files and splits belong to the sources file and hub")
            return self
        key = "files" if self.source == "file" else "splits"
        if set(given) != {"all"} and not {"train", "validation"} <= set(given) - {"all"}:
            raise ValueError(
                f"{key} must name either `all`, or `train` and `validation` (and `test` if there "
                f"is one); found {sorted(given) or 'nothing'}"
            )
        if self.source == "hub" and (not self.name or not re.fullmatch(r"[0-9a-f]{40}", self.revision or "")):
            raise ValueError("a hub data set needs its id in `name` and a commit hash in `revision`")
        return self


class AdapterConfig(Section):
    """Low-rank updates of attention projections: W + (alpha / rank) · B·A.

    Source: Hu et al. 2021, LoRA. `rank_stabilised` scales by alpha / sqrt(rank) instead
    (Kalajdzievski 2023); `b_rate_ratio` is the λ of LoRA+ (Hayou et al. 2024).
    """

    projections: list[str] = Field(
        ["query", "key", "value"],
        min_length=1,
        description="Any of query, key, value, output; for a model family that aasaan does not "
        "know, the tails of its linears' names.",
    )
    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    rank_stabilised: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)
    b_rate_ratio: float = Field(1.0, ge=1, description="Learning rate of B over that of A.")


class TrainingConfig(Section):
    """The optimisation: AdamW, a warm-up, a decay to zero."""

    epochs: float = Field(3.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="Stop after that many updates.")
    learning_rate: float = Field(5e-4, gt=0, description="Peak rate of adapter or base weights.")
    head_learning_rate: float = Field(1e-3, gt=0, description="Peak rate of freshly made parts.")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Full fine-tuning: factor of the rate for each layer down."
    )
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup: float = Field(0.06, ge=0, lt=1, description="Share of the updates.")
    weight_decay: float = Field(0.01, ge=0, description="Of full weight matrices; never of adapters.")
    max_grad_norm: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    tokens_per_batch: int = Field(
        1024, ge=16, description="Batches of equal length are filled up to that many tokens."
    )
    gradient_accumulation: int = Field(1, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the CPU or GPU computes in it, else fp32."
    )
    early_stopping: int | None = Field(
        3, ge=1, description="Stop after that many evaluations without a better primary metric."
    )
    evaluate_every: float = Field(1.0, gt=0, description="In epochs; checkpoints are kept then too.")
    threads: int | None = Field(None, ge=1, description="CPU threads; null: all cores.")


class EvaluationConfig(Section):
    bootstrap_samples: int = Field(1000, ge=100, le=100_000)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class ExportConfig(Section):
    """The graph that is served."""

    quantise: bool = Field(True, description="Dynamic int8; falls back to fp32 with a warning.")
    tolerance: float = Field(
        0.5, ge=0, description="Points of the primary metric (0–100) that int8 may lose."
    )


class TrackingConfig(Section):
    """MLflow. The store is MLFLOW_TRACKING_URI, or SQLite under AASAAN_HOME."""

    experiment: str | None = Field(None, description="null: aasaan-<task>.")
    register_model: bool = Field(True, description="Make the bundle a version of aasaan-<task>.")
    promote: bool = Field(True, description="Make it champion if it earned that.")
    system_metrics: bool = Field(True, description="CPU, memory and GPU load by time.")


class RunConfig(Section):
    """Everything that decides a run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Prefix of the run's name.")
    seed: int = Field(13, ge=0, le=2**31 - 1, description="Reaches everything that is random.")
    task: Annotated[SentimentSettings, Field(description="The task and what belongs to it.")]
    base: BaseModelConfig = Field(default_factory=BaseModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    adapter: AdapterConfig | None = Field(
        default_factory=AdapterConfig, description="null: full fine-tuning."
    )
    freeze_base: bool = Field(False, description="With `adapter: null`: train the head on a frozen base.")
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)

    @model_validator(mode="after")
    def _one_way_to_train(self) -> RunConfig:
        if self.freeze_base and self.adapter is not None:
            raise ValueError("freeze_base goes with `adapter: null`; set one of the two")
        return self


def load_config(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """Reads, overrides and validates a run's YAML.

    `overrides` are ``a.b=value`` with the value in YAML syntax. Raises `ConfigError` naming every
    mistake at once.
    """
    text, document = _read(path)
    for override in overrides or []:
        _apply(document, override)
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        found = [_describe(item, text) for item in error.errors()]
        raise ConfigError(
            problems(
                f"{path}: {len(found)} mistake(s):",
                found,
                "Every setting is described in docs/configuration.md.",
            )
        ) from None


def dump_config(config: RunConfig) -> str:
    """The resolved configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(str(p) for p in Path("configs").rglob("*.yaml"))
        raise ConfigError(f"No config file {path}. There are: {', '.join(near) or 'none here'}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}.") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, found {type(document).__name__}.")
    return text, document


def _apply(document: dict[str, Any], override: str) -> None:
    dotted, separator, value = override.partition("=")
    if not separator or not dotted:
        raise ConfigError(f"--set {override!r}: expected a.b=value, e.g. --set training.epochs=3.")
    *parents, leaf = dotted.split(".")
    target = document
    for key in parents:
        if not isinstance(target.get(key), dict):
            target[key] = {}
        target = target[key]
    try:
        target[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML: {error}") from None


def _describe(item: Any, text: str) -> str:
    keys = [str(key) for key in item["loc"]]
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(keys[-1], _siblings(keys[:-1]), n=1, cutoff=0.5)
        message = "no such setting" + (f"; did you mean {near[0]}?" if near else "")
    elif item["type"] != "missing" and not isinstance(item["input"], dict):
        message += f" (found {item['input']!r})"
    return f"{'.'.join(keys) or 'top level'}{_position(text, keys)}: {message}"


def _siblings(parents: list[str]) -> list[str]:
    model: Any = RunConfig
    for key in parents:
        annotation = model.model_fields[key].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        sections = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not sections:
            return []
        model = sections[0]
    return list(model.model_fields)


def _position(text: str, keys: list[str]) -> str:
    """`` (line 3, column 1)`` of the deepest key on the path that the file has, else nothing."""
    node, mark = yaml.compose(text), None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            break
        for name, value in node.value:
            if name.value == key:
                node, mark = value, name.start_mark
                break
        else:
            break
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
