"""The bundle as an MLflow model, as code rather than as a pickle.

MLflow runs this file when it loads the model: ``mlflow.pyfunc.load_model(uri).predict(["…"])``.
"""

import warnings
from pathlib import Path

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

with warnings.catch_warnings():
    # MLflow infers a schema when the class is made and warns that the result's is Any.
    warnings.simplefilter("ignore", UserWarning)

    class BundleModel(PythonModel):
        """A list of texts in, a list of predictions (as dicts) out."""

        def load_context(self, context: PythonModelContext) -> None:
            from pipelines.bundle import load

            self.predictor = load(Path(context.artifacts["bundle"])).predictor()

        # A type hint on the result, with Any in it, would be warned of again at every log.
        def predict(self, context: PythonModelContext, model_input: list[str]):  # type: ignore[no-untyped-def]
            return [prediction.model_dump() for prediction in self.predictor.predict(model_input)]


mlflow.models.set_model(BundleModel())
