"""One training, from a config to a bundle. Read `train` and `fit` from top to bottom."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    set_seed,
)

from pipelines import bundle as bundles
from pipelines import environment
from pipelines.callbacks import EpochOrder, LogMetrics, ProgressBar, StopOnSignal
from pipelines.card import model_card
from pipelines.config import RunConfig
from pipelines.data.batching import Collator, TokenBudgetSampler
from pipelines.data.prepare import Prepared, prepare
from pipelines.data.tokenization import TextTokenizer
from pipelines.errors import Interrupted
from pipelines.export import Parity, export_graph
from pipelines.models.adapters import add_adapter, merge
from pipelines.models.bases import Base, load_encoder, load_tokenizer, resolve_base
from pipelines.models.optimisation import parameter_groups
from pipelines.plots import draw_run
from pipelines.prediction import OnnxRunner, Predictor
from pipelines.run_folders import (
    find_unfinished,
    is_first_process,
    last_checkpoint,
    new_folder,
    shared_between_processes,
)
from pipelines.storage import require_space, runs_folder, write_json
from pipelines.tasks import create_task
from pipelines.tasks.task import Evaluation, Task
from pipelines.tracking.record import RunRecord
from pipelines.trainer import LengthBatchedTrainer, training_arguments

log = logging.getLogger("aasaan")


@dataclass(frozen=True)
class Fitted:
    """A trained model with what it was trained on and how, not yet a bundle.

    `history` is the Trainer's log: one dict a logged step. `steps` counts updates.
    """

    config: RunConfig
    task: Task
    base: Base
    data: Prepared
    tokenizer: TextTokenizer
    model: PreTrainedModel
    record: RunRecord
    history: list[dict[str, Any]]
    steps: int
    seconds: float

    @property
    def folder(self) -> Path:
        return self.record.folder


@dataclass(frozen=True)
class RunResult:
    """What a run left behind. `metrics` are points; `folder` holds bundle, plots and record."""

    folder: Path
    bundle: bundles.Bundle
    evaluation: Evaluation
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        return {name: interval.value for name, interval in self.evaluation.metrics.items()}


def train(
    config: RunConfig,
    resume: bool | Path = False,
    on_start: Callable[[RunRecord], None] = lambda record: None,
) -> RunResult | None:
    """Fine-tunes a base for a task and writes its bundle and its record.

    `resume` goes on from the last checkpoint of the newest unfinished run of the same config, or of
    the run folder that it names. `on_start` gets the run's record before training. Nothing here
    needs MLflow: `pipelines.finetuning` adds that. Under `accelerate launch` every process trains and
    the first one writes; the others return None.
    """
    fitted = fit(config, resume, on_start)
    if not is_first_process():
        return None
    evaluation, bundle = write_bundle(fitted)
    draw_run(evaluation, fitted.task.labels, fitted.history, fitted.folder / "plots")
    fitted.record.log(fitted.steps, flat_metrics(evaluation, fitted.data.evaluation_split))
    fitted.record.finish()
    return RunResult(fitted.folder, bundle, evaluation, fitted.seconds)


def fit(
    config: RunConfig,
    resume: bool | Path = False,
    on_start: Callable[[RunRecord], None] = lambda record: None,
) -> Fitted:
    """Data, base, adapter, training: everything of a run before its bundle.

    Raises an `AasaanError` for whatever is wrong with config, data, base or disk before it trains, and
    `Interrupted` when it was stopped by Ctrl-C or SIGTERM.
    """
    task = create_task(config.task)
    data = prepare(config.data, task, config.seed)
    base = resolve_base(config.base.source, config.base.name, config.base.revision)
    require_space(runs_folder(), 12 * (base.folder / "model.safetensors").stat().st_size)
    set_seed(config.seed)
    torch.set_num_threads(config.training.threads or environment.cores())
    tokenizer = TextTokenizer(load_tokenizer(base), task.max_length)
    model = build_model(config, task, base)

    folder = shared_between_processes(
        lambda: find_unfinished(config, resume) if resume else new_folder(config)
    )
    record = RunRecord.open(folder)
    if is_first_process():
        for note in data.notes:
            log.info("data: %s", note)
        record.describe(config, data, base)
        on_start(record)
    start = time.perf_counter()
    trainer = _train(config, task, model, tokenizer, data, record)
    seconds = time.perf_counter() - start
    steps = trainer.state.global_step
    if is_first_process():
        record.log(steps, {"train/seconds": seconds})
        if not resume:
            examples = len(data.splits["train"]) * (trainer.state.epoch or 0)
            record.log(steps, {"train/examples_per_second": examples / seconds})
    history = trainer.state.log_history
    return Fitted(config, task, base, data, tokenizer, model, record, history, steps, seconds)


def flat_metrics(evaluation: Evaluation, split: str) -> dict[str, float]:
    """Values and interval bounds of an evaluation under ``split/`` names, slices included."""
    flat: dict[str, float] = {}
    for name, interval in evaluation.metrics.items():
        flat[f"{split}/{name}"] = interval.value
        flat[f"{split}/{name}/low"], flat[f"{split}/{name}/high"] = interval.low, interval.high
    flat |= {f"{split}/accuracy/{name.replace('=', '/')}": i.value for name, i in evaluation.slices.items()}
    return flat


def build_model(config: RunConfig, task: Task, base: Base) -> PreTrainedModel:
    """The task's model on the base, with what the config says trainable."""
    model = task.build_model(load_encoder(base))
    adapter = config.adapter
    if adapter is not None:
        return add_adapter(
            model,
            base.model_type,
            adapter.projections,
            adapter.rank,
            adapter.alpha,
            task.fresh_modules,
            adapter.dropout,
            adapter.rank_stabilised,
        )
    if config.freeze_base:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.split(".")[0] in task.fresh_modules
    return model


def _train(
    config: RunConfig,
    task: Task,
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    data: Prepared,
    record: RunRecord,
) -> Trainer:
    rows = {name: _encode(task, tokenizer, examples, name) for name, examples in data.splits.items()}
    training, folder = config.training, record.folder
    sampler = TokenBudgetSampler(rows["train"]["length"], training.tokens_per_batch, config.seed)
    stop = StopOnSignal()
    ratio = config.adapter.b_rate_ratio if config.adapter else 1.0
    trainer = LengthBatchedTrainer(
        model=model,
        args=training_arguments(
            training, task.primary_metric, config.seed, len(sampler), folder / "checkpoints"
        ),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=Collator(tokenizer.pad_id),
        compute_metrics=lambda output: task.quick_metrics(output.predictions, output.label_ids),
        optimizers=(
            torch.optim.AdamW(parameter_groups(model, training, task.fresh_modules, ratio), fused=True),
            None,
        ),
        callbacks=[
            EpochOrder(sampler),
            ProgressBar(len(rows["train"]) / len(sampler), task.primary_metric),
            LogMetrics(record.log),
            stop,
        ],
        sampler=sampler,
    )
    trainer.remove_callback(PrinterCallback)
    if training.early_stopping is not None:
        trainer.add_callback(EarlyStoppingCallback(training.early_stopping))
    with stop.listening():
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    if stop.requested:
        raise Interrupted(
            f"Stopped at step {trainer.state.global_step}; a checkpoint is kept in {folder}.\n"
            "Go on with the same command and --resume."
        )
    return trainer


def _encode(task: Task, tokenizer: TextTokenizer, examples: Dataset, split: str) -> Dataset:
    encoded = tokenizer.encode(examples["text"])
    truncated = sum(item.truncated for item in encoded)
    if truncated:
        log.warning(
            "%s: %d of %d texts are longer than task.max_length and were cut", split, truncated, len(encoded)
        )
    return Dataset.from_dict(
        {
            "input_ids": [item.ids for item in encoded],
            "length": [len(item.ids) for item in encoded],
            "labels": [task.target(example) for example in examples],
        }
    )


def write_bundle(fitted: Fitted) -> tuple[Evaluation, bundles.Bundle]:
    """Exports, evaluates and writes the bundle of a trained model.

    The numbers are those of the graph that will be served, on the data's evaluation split.
    """
    config, task, data = fitted.config, fitted.task, fitted.data
    examples = list(data.splits[data.evaluation_split])
    texts = [example["text"] for example in examples]
    outcome: list[Evaluation] = []

    def fill(staging: Path) -> tuple[bundles.Manifest, str]:
        parity = export_graph(
            merge(fitted.model), task, fitted.tokenizer, list(data.splits["validation"]),
            staging / "onnx", config.export.quantise, config.export.tolerance,
        )  # fmt: skip
        if parity.warning:
            log.warning("%s", parity.warning)
        write_json(staging / "onnx" / "parity.json", parity.record())
        served = Predictor(task, fitted.tokenizer, OnnxRunner(staging / "onnx" / "model.onnx"))
        settings = config.evaluation
        evaluation = task.evaluate(
            examples, served.predict(texts), settings.bootstrap_samples, settings.confidence, config.seed
        )
        outcome.append(evaluation)
        manifest = _manifest(fitted, parity, evaluation)
        return manifest, model_card(manifest, evaluation, data.counts)

    adapted = config.adapter is not None
    destination = fitted.folder / "bundle"
    bundle = bundles.write(destination, fitted.model, fitted.tokenizer, adapted, fill, texts[:32])
    return outcome[0], bundle


def _manifest(fitted: Fitted, parity: Parity, evaluation: Evaluation) -> bundles.Manifest:
    config, data, model = fitted.config, fitted.data, fitted.model
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return bundles.Manifest(
        name=fitted.folder.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=config.task.model_dump(mode="json"),
        base=fitted.base.record(),
        adapter=config.adapter.model_dump(mode="json") if config.adapter else None,
        trainable_parameters=sum(size for size, trainable in sizes if trainable),
        parameters=sum(size for size, _ in sizes),
        seed=config.seed,
        data={
            "source": data.source,
            "digest": data.digest,
            "fingerprint": data.fingerprint,
            "evaluation_split": data.evaluation_split,
            "evaluation_fingerprint": data.evaluation_fingerprint,
            "counts": data.counts,
        },
        primary_metric=fitted.task.primary_metric,
        metrics={
            key: {"value": interval.value, "low": interval.low, "high": interval.high}
            for key, interval in evaluation.metrics.items()
        },
        parity=parity.record(),
        versions=environment.versions(),
    )
