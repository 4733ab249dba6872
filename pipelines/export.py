"""From a trained model to the graph that is served: ONNX, fused, int8 where that is as good."""

import contextlib
import io
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from pipelines.data.tokenization import TextTokenizer
from pipelines.prediction import OnnxRunner, Predictor, TorchRunner
from pipelines.tasks.task import Example, Task

GRAPH = "model.onnx"
FP32_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Parity:
    """How the served graph compares with the trained model on the same examples.

    `precision` is what was kept. Metrics are the task's primary one, in points; `agreement` is the
    share of equal predictions, in points; differences are of logits.
    """

    precision: str
    examples: int
    metric: str
    trained: float
    fp32: float
    int8: float | None
    int8_agreement: float | None
    fp32_max_difference: float
    int8_max_difference: float | None
    warning: str | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def export_graph(
    model: PreTrainedModel,
    task: Task,
    tokenizer: TextTokenizer,
    examples: Sequence[Example],
    folder: Path,
    quantise: bool,
    tolerance: float,
) -> Parity:
    """Writes `model` to ``folder/model.onnx`` and compares it with PyTorch on `examples`.

    int8 is kept unless it loses more than `tolerance` points of the primary metric; then fp32 is,
    and the report carries a warning. Raises `AssertionError` if the fp32 graph itself is off, which
    would be a bug of the exporter.
    """
    texts = [example["text"] for example in examples]
    targets = np.array([task.target(example) for example in examples])
    trained = Predictor(task, tokenizer, TorchRunner(model)).logits(texts)
    with _scratch(folder) as scratch:
        _export_fp32(model, scratch / "fp32")
        fp32 = _onnx_logits(task, tokenizer, scratch / "fp32", texts)
        difference = float(np.abs(fp32 - trained).max())
        assert difference < FP32_TOLERANCE * max(1.0, float(np.abs(trained).max())), (
            f"the exported graph differs from the trained model by {difference}"
        )
        scores = [task.quick_metrics(logits, targets)[task.primary_metric] for logits in (trained, fp32)]
        int8 = None
        if quantise:
            _quantise(scratch / "fp32", scratch / "int8")
            int8 = _onnx_logits(task, tokenizer, scratch / "int8", texts)
        parity = _compare(task, targets, trained, scores, difference, int8, tolerance)
        for file in (scratch / parity.precision).iterdir():
            shutil.move(file, folder / file.name)
    return parity


def _compare(
    task: Task,
    targets: np.ndarray,
    trained: np.ndarray,
    scores: list[float],
    fp32_difference: float,
    int8: np.ndarray | None,
    tolerance: float,
) -> Parity:
    metric = task.primary_metric
    score = None if int8 is None else task.quick_metrics(int8, targets)[metric]
    lost = 0.0 if score is None else scores[0] - score
    fell_back = lost > tolerance
    return Parity(
        precision="int8" if int8 is not None and not fell_back else "fp32",
        examples=len(targets),
        metric=metric,
        trained=scores[0],
        fp32=scores[1],
        int8=score,
        int8_agreement=None if int8 is None else 100 * float((int8.argmax(1) == trained.argmax(1)).mean()),
        fp32_max_difference=fp32_difference,
        int8_max_difference=None if int8 is None else float(np.abs(int8 - trained).max()),
        warning=f"int8 loses {lost:.2f} points of {metric} (tolerance {tolerance:g}), so fp32 is served"
        if fell_back
        else None,
    )


def _onnx_logits(task: Task, tokenizer: TextTokenizer, folder: Path, texts: Sequence[str]) -> np.ndarray:
    return Predictor(task, tokenizer, OnnxRunner(folder / GRAPH)).logits(texts)


def _export_fp32(model: PreTrainedModel, folder: Path) -> None:
    from transformers.exporters import OnnxConfig, OnnxExporter

    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]])
    sample = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    with _quiet():
        config = OnnxConfig(dynamic=True, ort_fusions="cpu")
        exported = OnnxExporter().export(model.eval(), sample, config=config)
        folder.mkdir()
        OnnxExporter.save_program(exported.program, folder / GRAPH)


def _quantise(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    target.mkdir()
    graph = onnx.load(source / GRAPH, load_external_data=False)
    # quantize_dynamic transposes Gemm weights in place and then trips over their recorded shapes
    # (transformers' OnnxRuntimeQuantizer does the same).
    weights = {initializer.name for initializer in graph.graph.initializer}
    shapes = [info for info in graph.graph.value_info if info.name not in weights]
    del graph.graph.value_info[:]
    graph.graph.value_info.extend(shapes)
    slim = source / "slim.onnx"
    onnx.save(graph, slim)
    with _quiet():
        # A scale for each column of a weight halves the error of the logits (docs/results.md).
        quantize_dynamic(slim, target / GRAPH, per_channel=True)
    slim.unlink()


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' progress notes and warnings about themselves off the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            open(os.devnull, "w") as null,
            contextlib.redirect_stderr(null),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
