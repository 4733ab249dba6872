"""What watches a training while it runs."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.data.batching import TokenBudgetSampler

Metrics = dict[str, float]


class EpochOrder(TrainerCallback):
    """Gives every epoch its own order of rows, also after a resume in the middle of one."""

    def __init__(self, sampler: TokenBudgetSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.sampler.set_epoch(int(state.epoch or 0))


class StopOnSignal(TrainerCallback):
    """Turns Ctrl-C or SIGTERM into a checkpoint and an orderly end; a second one ends at once."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def request(number: int, frame: FrameType | None) -> None:
            self.requested = True
            for each, handler in previous.items():
                signal.signal(each, handler)

        for number in previous:
            signal.signal(number, request)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.requested:
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True


class LogMetrics(TrainerCallback):
    """Hands every metric that the Trainer logs to `log(step, metrics)` under our names."""

    TIMINGS = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    NAMES: ClassVar = {
        "loss": "train/loss",
        "learning_rate": "train/learning_rate",
        "grad_norm": "train/grad_norm",
    }

    def __init__(self, log: Callable[[int, Metrics], None]) -> None:
        self.log = log

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        metrics = {self._name(key): float(value) for key, value in (logs or {}).items() if self._name(key)}
        if metrics and state.is_world_process_zero:
            self.log(state.global_step, metrics)

    def _name(self, key: str) -> str:
        if key.startswith("eval_") and key not in self.TIMINGS:
            return "validation/" + key.removeprefix("eval_")
        return self.NAMES.get(key, "")


class ProgressBar(TrainerCallback):
    """One line with step, loss, examples/s and the last validation result, on standard error."""

    def __init__(self, examples_per_batch: float, primary_metric: str) -> None:
        self.examples_per_batch = examples_per_batch
        self.primary_metric = primary_metric
        self.first_step = 0
        self.start = 0.0
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self.loss = self.best = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.first_step, self.start = state.global_step, time.perf_counter()
        if state.is_world_process_zero:
            self.progress.start()
            self.bar = self.progress.add_task("", total=state.max_steps, completed=state.global_step, note="")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            done = (state.global_step - self.first_step) * args.gradient_accumulation_steps
            rate = done * self.examples_per_batch / (time.perf_counter() - self.start)
            note = f"{rate:.0f} examples/s{self.loss}{self.best}"
            self.progress.update(self.bar, completed=state.global_step, note=note)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        if "loss" in logs:
            self.loss = f"  loss {float(logs['loss']):.3f}"
        if f"eval_{self.primary_metric}" in logs:
            self.best = f"  {self.primary_metric} {logs[f'eval_{self.primary_metric}']:.1f}"

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.progress.stop()
