"""Pictures of a run, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pipelines.tasks.task import Evaluation

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#9ca3af"


def draw_run(
    evaluation: Evaluation, labels: Sequence[str], history: Sequence[dict[str, Any]], folder: Path
) -> None:
    """Writes confusion_matrix.png, reliability.png, loss.png and, with slices, slices.png."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "confusion_matrix": confusion_matrix(np.array(evaluation.confusion), labels),
        "reliability": reliability_diagram(np.array(evaluation.reliability)),
        "loss": loss_curves(history),
    }
    if evaluation.slices:
        figures["slices"] = slice_bars(evaluation)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
        plt.close(figure)


def confusion_matrix(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Counts and, as shade, the share of each gold label (row) that got each prediction."""
    figure, axes = plt.subplots(figsize=(4.8, 4.2), layout="constrained")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=color)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true label", title="Confusion matrix")
    return figure


def reliability_diagram(bins: np.ndarray) -> Figure:
    """Accuracy against confidence; `bins` has shape ``(bins, 3)``: count, confidence, hits."""
    figure, axes = plt.subplots(figsize=(4.8, 4.2), layout="constrained")
    used = bins[bins[:, 0] > 0]
    confidence, accuracy = used[:, 1] / used[:, 0], used[:, 2] / used[:, 0]
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    axes.scatter(confidence, accuracy, s=12 + 300 * used[:, 0] / used[:, 0].sum(), color=BLUE, alpha=0.8)
    axes.plot(confidence, accuracy, color=BLUE, linewidth=1, label="model (area: examples)")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy", title="Reliability")
    axes.legend(loc="upper left", frameon=False)
    return figure


def loss_curves(history: Sequence[dict[str, Any]]) -> Figure:
    """Training and validation loss by step."""
    figure, axes = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
    for key, name, color in (("loss", "train", BLUE), ("eval_loss", "validation", ORANGE)):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            marker = "o" if len(points) < 40 else None
            axes.plot(*zip(*points, strict=True), color=color, label=name, marker=marker, markersize=3)
    axes.set(xlabel="step", ylabel="loss", title="Loss")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def slice_bars(evaluation: Evaluation) -> Figure:
    """Accuracy on each subset of the examples, with its interval."""
    names = list(evaluation.slices)
    intervals = [evaluation.slices[name] for name in names]
    values = np.array([interval.value for interval in intervals])
    errors = np.array([[i.value - i.low for i in intervals], [i.high - i.value for i in intervals]])
    figure, axes = plt.subplots(figsize=(6.4, 0.8 + 0.26 * len(names)), layout="constrained")
    axes.barh(names, values, xerr=np.maximum(errors, 0), color=BLUE, alpha=0.85, ecolor=GREY)
    for position, name in enumerate(names):
        axes.text(1, position, f"n = {evaluation.sizes[name]}", va="center", color="white", fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="accuracy (%)", title="Accuracy by kind of example")
    return figure
