"""The bundle as an MLflow model, as code rather than as a pickle.

MLflow runs this file when it loads the model: ``mlflow.pyfunc.load_model(uri).predict(["…"])``.
"""

from pathlib import Path

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext


class BundleModel(PythonModel):
    """A list of texts in, a list of predictions (as dicts) out."""

    def load_context(self, context: PythonModelContext) -> None:
        from pipelines.bundle import load

        self.predictor = load(Path(context.artifacts["bundle"])).predictor()

    # MLflow makes the input's schema from its type hint; one on the result would only make it warn of Any.
    def predict(self, context: PythonModelContext, model_input: list[str]):  # type: ignore[no-untyped-def]
        return [prediction.model_dump() for prediction in self.predictor.predict(model_input)]


mlflow.models.set_model(BundleModel())
