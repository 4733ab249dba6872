"""What a task is: everything in which tasks differ, and nothing else.

`Task` is a Protocol: an implementation needs no base class. No code outside `pipelines.tasks` asks
for a task's name to decide what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from numpy.typing import NDArray
from pydantic import BaseModel
from transformers import PreTrainedModel

from pipelines.metrics.classification import Interval

# An example is a row of strings: the task's columns, `group` (rows that stay in one split) and
# `where` (file and line, for messages).
Example = dict[str, str]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Tensor:
    """A named output for clients of the Open Inference Protocol; -1 in a spec's shape is the batch."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]
    data: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """Numbers of a model on examples, in points, with what the plots need.

    `slices` holds the accuracy on subsets of the examples, ``phenomenon=negation`` for one.
    """

    metrics: dict[str, Interval]
    slices: dict[str, Interval]
    sizes: dict[str, int]
    confusion: list[list[int]]
    reliability: list[list[float]]


class Task(Protocol):
    """One task bound to its settings."""

    @property
    def name(self) -> str:
        """The task's name in configs, URLs and the registry (``aasaan-<name>``)."""

    @property
    def settings(self) -> BaseModel:
        """The `task` section of the run's config."""

    @property
    def corpus(self) -> str:
        """The packaged corpus that is the default data."""

    @property
    def labels(self) -> list[str]:
        """The labels that examples may have."""

    @property
    def columns(self) -> Mapping[str, bool]:
        """The columns that examples have, and whether the data must have them."""

    @property
    def max_length(self) -> int:
        """Tokens of a text that the model reads; the rest is cut off."""

    @property
    def primary_metric(self) -> str:
        """The metric that picks checkpoints and decides promotions; higher is better."""

    @property
    def fresh_modules(self) -> Sequence[str]:
        """Modules of the built model that start untrained: trained fully, saved with an adapter."""

    @property
    def outputs(self) -> list[Tensor]:
        """Names, types and shapes of what `tensors` returns, with -1 for the batch."""

    def among(self, labels: Sequence[str]) -> "Task":
        """The task with only some of its labels. Raises `UsageError` for one that it does not have."""

    def problem(self, values: Mapping[str, str]) -> str | None:
        """Why these column values are not an example, or None."""

    def build_model(self, encoder: PreTrainedModel) -> PreTrainedModel:
        """The model to train, on top of a base's encoder."""

    def target(self, example: Example) -> int:
        """What the model is trained to predict for an example."""

    def decode(self, texts: Sequence[str], outputs: Arrays) -> list[Any]:
        """Predictions (pydantic models) from the model's outputs, row by row."""

    def tensors(self, predictions: Sequence[Any]) -> list[Tensor]:
        """Predictions as named tensors."""

    def quick_metrics(self, logits: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        """Metrics during training, without intervals; has the primary one."""

    def evaluate(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Any],
        samples: int,
        confidence: float,
        seed: int,
    ) -> Evaluation:
        """Metrics of predictions for examples, with bootstrap intervals."""
