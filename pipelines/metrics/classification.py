"""Metrics of a classifier, in points (0–100), with bootstrap intervals.

Everything is computed from counts, so that a thousand bootstrap resamples are a few matrix
products: shapes start with ``...`` for the resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Interval:
    """A metric's value and its percentile bootstrap interval, in points."""

    value: float
    low: float
    high: float


def classification_metrics(
    gold: Ints, probabilities: Floats, labels: list[str], samples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """accuracy, macro_f1, ece and each label's precision, recall and f1.

    `gold` has shape ``(n,)`` with indices into `labels`, `probabilities` ``(n, labels)``. The
    interval is the percentile bootstrap over examples (Efron 1979).
    """
    statistics = _per_example(gold, probabilities)
    n = len(gold)
    resamples = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    values = _from_statistics(statistics.sum(axis=0), labels)
    spread = _from_statistics(resamples @ statistics, labels)
    tail = (1 - confidence) / 2
    bounds = {name: np.quantile(draws, [tail, 1 - tail]) for name, draws in spread.items()}
    return {
        name: Interval(float(value), float(bounds[name][0]), float(bounds[name][1]))
        for name, value in values.items()
    }


def share_correct(correct: NDArray[np.bool_], samples: int, confidence: float, seed: int) -> Interval:
    """Accuracy of a subset of examples with its bootstrap interval; `correct` has shape ``(n,)``."""
    draws = np.random.default_rng(seed).binomial(len(correct), correct.mean(), size=samples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws / len(correct), [tail, 1 - tail])
    return Interval(100 * float(correct.mean()), 100 * float(low), 100 * float(high))


def confusion_matrix(gold: Ints, predicted: Ints, size: int) -> Ints:
    """Counts of shape ``(size, size)``: rows are gold labels, columns predictions."""
    return np.bincount(gold * size + predicted, minlength=size * size).reshape(size, size)


def from_confusion(confusion: Floats, labels: list[str]) -> dict[str, Floats]:
    """accuracy, macro_f1, and precision, recall, f1 by label, from ``(..., labels, labels)`` counts.

    A label that is never predicted has precision 0; one that never occurs has recall 0.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    precision = _ratio(hits, confusion.sum(axis=-2))
    recall = _ratio(hits, confusion.sum(axis=-1))
    f1 = _ratio(2 * precision * recall, precision + recall)
    metrics = {
        "accuracy": 100 * _ratio(hits.sum(axis=-1), confusion.sum(axis=(-2, -1))),
        "macro_f1": 100 * f1.mean(axis=-1),
    }
    for index, label in enumerate(labels):
        metrics[f"precision/{label}"] = 100 * precision[..., index]
        metrics[f"recall/{label}"] = 100 * recall[..., index]
        metrics[f"f1/{label}"] = 100 * f1[..., index]
    return metrics


def calibration_error(bins: Floats) -> Floats:
    """Expected calibration error from ``(..., bins, 3)`` sums of count, confidence and hits.

    ECE = Σ_b n_b/n · |accuracy_b − confidence_b| (Guo et al. 2017, equation 3), in points.
    """
    gap = np.abs(bins[..., 2] - bins[..., 1]).sum(axis=-1)
    return np.asarray(100 * gap / bins[..., 0].sum(axis=-1))


def reliability(gold: Ints, probabilities: Floats) -> Floats:
    """Sums ``(bins, 3)`` of count, confidence and hits over equal-width bins of confidence."""
    size = probabilities.shape[1]
    bins: Floats = _per_example(gold, probabilities)[:, size * size :].sum(axis=0)
    return bins.reshape(-1, 3)


def _per_example(gold: Ints, probabilities: Floats) -> Floats:
    """One row of counts an example: its cell of the confusion matrix, then its calibration bin."""
    n, size = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    rows = np.arange(n)
    cells = np.zeros((n, size * size))
    cells[rows, gold * size + predicted] = 1
    bin_of = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    bins = np.zeros((n, CALIBRATION_BINS, 3))
    bins[rows, bin_of] = np.stack([np.ones(n), confidence, predicted == gold], axis=1)
    return np.concatenate([cells, bins.reshape(n, -1)], axis=1)


def _from_statistics(sums: Floats, labels: list[str]) -> dict[str, Floats]:
    size = len(labels)
    confusion = sums[..., : size * size].reshape(*sums.shape[:-1], size, size)
    bins = sums[..., size * size :].reshape(*sums.shape[:-1], CALIBRATION_BINS, 3)
    return {**from_confusion(confusion, labels), "ece": calibration_error(bins)}


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)
