"""From a model's name to the model: a task (its champion), a bundle folder or an MLflow URI."""

from pathlib import Path

from pipelines import bundle as bundles
from pipelines.errors import UsageError
from pipelines.prediction import Predictor
from pipelines.tasks import NAMES


def find_bundle(model: str) -> bundles.Bundle:
    """The verified bundle that `model` names. Raises an `AasaanError` that says what was expected."""
    if model in NAMES:
        from pipelines.tracking import registry

        return bundles.load(registry.champion_bundle(model)[0])
    if model.startswith(("models:/", "runs:/")):
        from pipelines.tracking import registry

        return bundles.load(registry.download(model))
    if Path(model).is_dir():
        return bundles.load(Path(model))
    raise UsageError(
        f"No model {model!r}. Expected a task ({', '.join(NAMES)}), a bundle's folder or an MLflow URI "
        "such as models:/aasaan-sentiment@champion."
    )


def load(model: str, threads: int | None = None) -> Predictor:
    """A model ready to predict: ``load("sentiment").predict(["…"])``."""
    return find_bundle(model).predictor(threads=threads)
