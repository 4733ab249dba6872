"""One training, from a config to a bundle. Read `train` and `fit` from top to bottom."""

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from pipelines import bundle as bundles
from pipelines import environment
from pipelines.callbacks import EpochOrder, LogMetrics, ProgressBar, StopOnSignal
from pipelines.card import model_card
from pipelines.config import RunConfig, dump_config
from pipelines.data.batching import Collator, TokenBudgetSampler
from pipelines.data.prepare import Prepared, prepare
from pipelines.data.tokenization import TextTokenizer
from pipelines.errors import Interrupted, UsageError
from pipelines.export import Parity, export_graph
from pipelines.models.adapters import add_adapter, merge
from pipelines.models.bases import Base, load_encoder, load_tokenizer, resolve_base
from pipelines.models.optimisation import parameter_groups
from pipelines.plots import draw_run
from pipelines.prediction import OnnxRunner, Predictor
from pipelines.storage import require_space, runs_folder, write_json, write_text
from pipelines.tasks import create_task
from pipelines.tasks.task import Evaluation, Task
from pipelines.tracking.record import RunRecord

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

    folder = _shared_between_processes(
        lambda: _find_unfinished(config, resume) if resume else _new_folder(config)
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
        speed = len(data.splits["train"]) * (trainer.state.epoch or 0) / seconds
        record.log(steps, {"train/seconds": seconds, "train/examples_per_second": speed})
    history = trainer.state.log_history
    return Fitted(config, task, base, data, tokenizer, model, record, history, steps, seconds)


def is_first_process() -> bool:
    """Whether this process is the one that writes: always, unless a launcher started several."""
    return bool(PartialState().is_main_process)


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
    trainer = _LengthBatchedTrainer(
        model=model,
        args=_arguments(config, task, len(sampler), folder),
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
        trainer.train(resume_from_checkpoint=_last_checkpoint(folder))
    if stop.requested:
        raise Interrupted(
            f"Stopped at step {trainer.state.global_step}; a checkpoint is kept in {folder}.\n"
            "Go on with the same command and --resume."
        )
    return trainer


class _LengthBatchedTrainer(Trainer):
    """transformers' Trainer with batches of one length, filled up to a token budget."""

    def __init__(self, *, sampler: TokenBudgetSampler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sampler = sampler

    def get_train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.train_dataset, self._sampler)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        rows = eval_dataset if eval_dataset is not None else self.eval_dataset
        return self._loader(rows, TokenBudgetSampler(rows["length"], 4096, shuffle=False))

    def _loader(self, rows: Any, sampler: TokenBudgetSampler) -> DataLoader[Any]:
        loader: DataLoader[Any] = DataLoader(rows, batch_sampler=sampler, collate_fn=self.data_collator)
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared


def _arguments(config: RunConfig, task: Task, batches: int, folder: Path) -> TrainingArguments:
    training = config.training
    interval = math.ceil(training.evaluate_every * batches / training.gradient_accumulation)
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup,
        max_grad_norm=training.max_grad_norm,
        label_smoothing_factor=training.label_smoothing,
        gradient_accumulation_steps=training.gradient_accumulation,
        bf16=environment.use_bf16(training.precision),
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        logging_steps=max(1, interval // 10),
        load_best_model_at_end=True,
        metric_for_best_model=task.primary_metric,
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        seed=config.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
    )


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


def _shared_between_processes(find: Callable[[], Path]) -> Path:
    """What the first process finds, told to the others."""
    found = [find() if is_first_process() else None]
    broadcast_object_list(found)
    assert found[0] is not None
    return found[0]


def _new_folder(config: RunConfig) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        folder = runs_folder() / f"{config.name}-{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        write_text(folder / "config.yaml", dump_config(config))
        return folder
    raise UsageError(f"Too many runs named {config.name}-{stamp} in {runs_folder()}.")


def _find_unfinished(config: RunConfig, resume: bool | Path) -> Path:
    if isinstance(resume, Path):
        candidates = [resume]
    else:
        newest_first = sorted(runs_folder().glob(f"{config.name}-*"), key=lambda p: p.stat().st_mtime)
        candidates = newest_first[::-1]
    wanted = dump_config(config)
    for folder in candidates:
        kept = folder / "config.yaml"
        same = kept.is_file() and kept.read_text(encoding="utf-8") == wanted
        if same and not (folder / "bundle").exists() and _last_checkpoint(folder):
            return folder
    raise UsageError(
        f"Nothing to resume: no unfinished run of exactly this config with a checkpoint in "
        f"{candidates[0].parent if candidates else runs_folder()}. Start without --resume, or use the "
        "same config and --set as the run that was stopped."
    )


def _last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; the state file is the last that comes."""
    found: list[tuple[int, Path]] = []
    for path in (folder / "checkpoints").glob("checkpoint-*/trainer_state.json"):
        try:
            found.append((int(json.loads(path.read_text(encoding="utf-8"))["global_step"]), path.parent))
        except (ValueError, KeyError):
            continue
    return str(max(found)[1]) if found else None
