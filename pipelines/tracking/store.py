"""Where MLflow keeps runs and models: the server of MLFLOW_TRACKING_URI, or SQLite under our home."""

import logging
import os
import sys

# Before mlflow is imported: no telemetry, and a server that is down costs seconds, not minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient

from pipelines.storage import home, require_space


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file under AASAAN_HOME."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def connect() -> MlflowClient:
    """A client of the store; also makes it the one that mlflow's module-level functions use."""
    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        require_space(home(), 10_000_000)
        # The first connection creates the tables, which alembic reports line by line.
        logging.getLogger("alembic").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient()


def experiment_id(name: str) -> str:
    """The id of the experiment `name`, made if it is not there."""
    client = connect()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if tracking_uri().startswith("sqlite:///"):
        location = (home() / "mlartifacts" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def run_ui(port: int) -> None:
    """Replaces this process by MLflow's UI on 127.0.0.1, on the store that runs are kept in."""
    connect()
    command = ["-m", "mlflow", "ui", "--backend-store-uri", tracking_uri(), "--host", "127.0.0.1"]
    os.execv(sys.executable, [sys.executable, *command, "--port", str(port)])
