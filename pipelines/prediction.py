"""The one path from texts to predictions, used by evaluation, the CLI, MLflow and the service."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch

from pipelines.data.batching import TokenBudgetSampler, pad_inputs
from pipelines.data.tokenization import Encoded, TextTokenizer
from pipelines.tasks.task import Arrays, Task

DEFAULT_TOKENS = 4096


class Runner(Protocol):
    """Runs a model: arrays in, arrays out; the first axis of each is the batch."""

    def __call__(self, inputs: Arrays) -> Arrays: ...


class OnnxRunner:
    """A graph on ONNX Runtime, on the CPU."""

    def __init__(self, graph: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def __call__(self, inputs: Arrays) -> Arrays:
        return dict(zip(self.names, self.session.run(None, inputs), strict=True))


class TorchRunner:
    """A PyTorch model, on the device where it is."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device

    def __call__(self, inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
        with torch.inference_mode():
            return {"logits": self.model(**tensors).logits.float().cpu().numpy()}


class Predictor:
    """A task, its tokenizer and a runner."""

    def __init__(self, task: Task, tokenizer: TextTokenizer, runner: Runner) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.runner = runner

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        return self.tokenizer.encode(texts)

    def run(self, batch: Sequence[Encoded]) -> Arrays:
        """The model's outputs for one batch."""
        return self.runner(pad_inputs([item.ids for item in batch], self.tokenizer.pad_id))

    def predict(self, texts: Sequence[str], tokens: int = DEFAULT_TOKENS) -> list[Any]:
        """Predictions in the order of `texts`, computed in batches of at most `tokens` tokens."""
        encoded = self.encode(texts)
        predictions: list[Any] = [None] * len(texts)
        for rows, outputs in self._batches(encoded, tokens):
            for row, prediction in zip(
                rows, self.task.decode([texts[r] for r in rows], outputs), strict=True
            ):
                predictions[row] = prediction
        return predictions

    def logits(self, texts: Sequence[str], tokens: int = DEFAULT_TOKENS) -> np.ndarray:
        """Raw outputs of shape ``(texts, labels)``, in the order of `texts`."""
        pieces = [(rows, outputs["logits"]) for rows, outputs in self._batches(self.encode(texts), tokens)]
        order = np.concatenate([rows for rows, _ in pieces]).argsort()
        return np.asarray(np.concatenate([logits for _, logits in pieces])[order])

    def _batches(self, encoded: Sequence[Encoded], tokens: int) -> Iterator[tuple[list[int], Arrays]]:
        lengths = [len(item.ids) for item in encoded]
        for rows in TokenBudgetSampler(lengths, tokens, shuffle=False):
            yield rows, self.run([encoded[row] for row in rows])
