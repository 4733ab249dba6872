"""How good a model is on labelled examples: through the same path that serves it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.bundle import Bundle
from pipelines.config import DataConfig, EvaluationConfig
from pipelines.data.prepare import fingerprint, read_examples
from pipelines.data.tables import read_file


def evaluate(
    bundle: Bundle, file: Path, data: DataConfig | None = None, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Metrics of a bundle on a labelled file, as ``aasaan evaluate --json`` prints them.

    With `only`, the answer is the most probable of those labels: a three-label model on data that
    knows positive and negative alone.
    """
    predictor = bundle.predictor()
    task = predictor.task.among(only) if only else predictor.task
    examples = read_examples(read_file(file), task, data)
    texts = [example["text"] for example in examples]
    predictions = predictor.predict(texts)
    if only:
        predictions = [prediction.among(only) for prediction in predictions]
    settings = EvaluationConfig()
    evaluation = task.evaluate(
        examples, predictions, settings.bootstrap_samples, settings.confidence, bundle.manifest.seed
    )
    return {
        "task": task.name,
        "model": bundle.manifest.name,
        "data": {
            "source": str(file),
            "rows": len(examples),
            "truncated": sum(item.truncated for item in predictor.encode(texts)),
            "labels": task.labels,
            "fingerprint": fingerprint({"evaluation": examples}),
        },
        "metrics": {name: interval.value for name, interval in evaluation.metrics.items()},
        "intervals": {name: [i.low, i.high] for name, i in evaluation.metrics.items()},
        "slices": {name: interval.value for name, interval in evaluation.slices.items()},
    }


def recorded(bundle: Bundle) -> dict[str, Any]:
    """The metrics in a bundle's manifest, in the form that `evaluate` gives."""
    manifest = bundle.manifest
    data = manifest.data
    return {
        "task": bundle.task.name,
        "model": manifest.name,
        "data": {
            "source": f"{data['source']}, {data['evaluation_split']} split, as recorded",
            "rows": sum(data["counts"][data["evaluation_split"]].values()),
            "fingerprint": data["evaluation_fingerprint"],
        },
        "metrics": {name: numbers["value"] for name, numbers in manifest.metrics.items()},
        "intervals": {name: [n["low"], n["high"]] for name, n in manifest.metrics.items()},
    }
