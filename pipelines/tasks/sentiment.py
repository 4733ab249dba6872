"""Sentiment analysis: one of a few labels for a text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from transformers import PreTrainedModel

from pipelines.errors import UsageError
from pipelines.metrics.classification import (
    classification_metrics,
    confusion_matrix,
    from_confusion,
    reliability,
    share_correct,
)
from pipelines.models.classifier import PooledClassifier
from pipelines.tasks.settings import SentimentSettings
from pipelines.tasks.task import Arrays, Evaluation, Example, Tensor

SLICED_BY = ("phenomenon", "domain")


class SentimentPrediction(BaseModel):
    """The most probable label of a text; `score` is its probability, `scores` has all of them."""

    text: str
    label: str
    score: float
    scores: dict[str, float]

    def among(self, labels: Sequence[str]) -> "SentimentPrediction":
        """The prediction when only `labels` are possible; their probabilities sum to one."""
        total = sum(self.scores[label] for label in labels)
        scores = {label: self.scores[label] / total for label in labels}
        label = max(scores, key=scores.__getitem__)
        return SentimentPrediction(text=self.text, label=label, score=scores[label], scores=scores)


class SentimentTask:
    name = "sentiment"
    corpus = "sentiment"
    primary_metric = "macro_f1"
    fresh_modules: Sequence[str] = ("head",)
    columns: Mapping[str, bool] = {
        "text": True,
        "label": True,
        "group": False,
        "phenomenon": False,
        "idiom": False,
        "domain": False,
    }

    def __init__(self, settings: SentimentSettings) -> None:
        self.settings = settings

    def among(self, labels: Sequence[str]) -> "SentimentTask":
        unknown = [label for label in labels if label not in self.labels]
        if unknown or len(labels) < 2:
            raise UsageError(
                f"Expected two or more of the labels {', '.join(self.labels)}; found {', '.join(labels)}."
            )
        return SentimentTask(self.settings.model_copy(update={"labels": list(labels)}))

    @property
    def labels(self) -> list[str]:
        return self.settings.labels

    @property
    def max_length(self) -> int:
        return self.settings.max_length

    @property
    def outputs(self) -> list[Tensor]:
        return [
            Tensor("label", "BYTES", [-1]),
            Tensor("score", "FP32", [-1]),
            Tensor("scores", "FP32", [-1, len(self.labels)]),
        ]

    def problem(self, values: Mapping[str, str]) -> str | None:
        if not values["text"].strip():
            return "empty text"
        if not values["label"]:
            return f"no label for {values['text'][:40]!r}"
        if values["label"] not in self.labels:
            return f"unknown label {values['label']!r}"
        return None

    def build_model(self, encoder: PreTrainedModel) -> PreTrainedModel:
        s = self.settings
        return PooledClassifier(encoder, s.labels, s.pooling, s.hidden, s.dropout)

    def target(self, example: Example) -> int:
        return self.labels.index(example["label"])

    def decode(self, texts: Sequence[str], outputs: Arrays) -> list[SentimentPrediction]:
        probabilities = softmax(outputs["logits"])
        return [
            SentimentPrediction(
                text=text,
                label=self.labels[int(row.argmax())],
                score=float(row.max()),
                scores=dict(zip(self.labels, map(float, row), strict=True)),
            )
            for text, row in zip(texts, probabilities, strict=True)
        ]

    def tensors(self, predictions: Sequence[SentimentPrediction]) -> list[Tensor]:
        n = len(predictions)
        return [
            Tensor("label", "BYTES", [n], [p.label for p in predictions]),
            Tensor("score", "FP32", [n], [p.score for p in predictions]),
            Tensor(
                "scores", "FP32", [n, len(self.labels)], [s for p in predictions for s in p.scores.values()]
            ),
        ]

    def quick_metrics(self, logits: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        confusion = confusion_matrix(targets, logits.argmax(axis=1), len(self.labels))
        metrics = from_confusion(confusion.astype(float), self.labels)
        return {name: float(metrics[name]) for name in ("accuracy", "macro_f1")}

    def evaluate(
        self,
        examples: Sequence[Example],
        predictions: Sequence[SentimentPrediction],
        samples: int,
        confidence: float,
        seed: int,
    ) -> Evaluation:
        gold = np.array([self.target(example) for example in examples])
        probabilities = np.array([list(p.scores.values()) for p in predictions])
        predicted = probabilities.argmax(axis=1)
        slices = {
            f"{column}={value}": np.array([example.get(column) == value for example in examples])
            for column in SLICED_BY
            for value in sorted({example.get(column) or "" for example in examples} - {""})
        }
        correct = predicted == gold
        return Evaluation(
            metrics=classification_metrics(gold, probabilities, self.labels, samples, confidence, seed),
            slices={
                name: share_correct(correct[chosen], samples, confidence, seed)
                for name, chosen in slices.items()
            },
            sizes={name: int(chosen.sum()) for name, chosen in slices.items()},
            confusion=confusion_matrix(gold, predicted, len(self.labels)).tolist(),
            reliability=reliability(gold, probabilities).tolist(),
        )


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities over the last axis of ``(batch, labels)``."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float64)
