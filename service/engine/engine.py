"""What the service asks of a model: encode on any thread, run a batch, describe itself."""

from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.bundle import Bundle
from pipelines.data.tokenization import Encoded
from pipelines.tasks.task import Task

WARM_UP = ["The exam was a piece of cake.", "No."]


class Engine(Protocol):
    """A loaded model. `run` is called by one thread at a time, `encode` by any."""

    task: Task
    platform: str

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Token ids of texts."""

    def run(self, texts: Sequence[str], batch: Sequence[Encoded]) -> list[Any]:
        """Predictions for one batch of encoded texts."""

    def warm_up(self) -> None:
        """One real inference. Raises whatever keeps the model from answering."""


class _PredictorEngine:
    platform = ""

    def __init__(self, bundle: Bundle, kind: Any, threads: int | None) -> None:
        self.predictor = bundle.predictor(kind, threads)
        self.task = self.predictor.task

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        return self.predictor.encode(texts)

    def run(self, texts: Sequence[str], batch: Sequence[Encoded]) -> list[Any]:
        return self.task.decode(texts, self.predictor.run(batch))

    def warm_up(self) -> None:
        self.run(WARM_UP, self.encode(WARM_UP))


class OnnxEngine(_PredictorEngine):
    """The bundle's graph on ONNX Runtime: the engine for CPUs."""

    platform = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        super().__init__(bundle, "onnx", threads)


class TorchEngine(_PredictorEngine):
    """The base with the adapter in PyTorch: for GPUs and for debugging."""

    platform = "pytorch"

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        super().__init__(bundle, "torch", threads)
