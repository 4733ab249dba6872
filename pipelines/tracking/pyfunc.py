"""The bundle as an MLflow model, as code rather than as a pickle.

MLflow runs this file when it loads the model: ``mlflow.pyfunc.load_model(uri).predict(["…"])``.
"""

import warnings
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

with warnings.catch_warnings():
    # MLflow reads the type hints when the class is made and warns of the Any in the predictions' dicts.
    warnings.simplefilter("ignore", UserWarning)

    class BundleModel(PythonModel):
        """A list of texts in, a list of predictions (as dicts) out."""

        def load_context(self, context: PythonModelContext) -> None:
            from pipelines.bundle import load

            self.predictor = load(Path(context.artifacts["bundle"])).predictor()

        def predict(self, context: PythonModelContext, model_input: list[str]) -> list[dict[str, Any]]:
            return [prediction.model_dump() for prediction in self.predictor.predict(model_input)]


mlflow.models.set_model(BundleModel())
