"""transformers' Trainer as we use it: batches by length, checkpoints with every evaluation."""

import math
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from pipelines import environment
from pipelines.config import TrainingConfig
from pipelines.data.batching import TokenBudgetSampler


class LengthBatchedTrainer(Trainer):
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


def training_arguments(
    training: TrainingConfig, primary_metric: str, seed: int, batches: int, folder: Path
) -> TrainingArguments:
    """Trainer's arguments for a run whose epochs have `batches` batches; checkpoints go to `folder`."""
    interval = math.ceil(training.evaluate_every * batches / training.gradient_accumulation)
    return TrainingArguments(
        output_dir=str(folder),
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
        metric_for_best_model=primary_metric,
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        seed=seed,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
