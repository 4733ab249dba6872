"""A run in MLflow: metrics while it trains, everything else when it is done.

Neither ever ends a training. What a server did not take stays in the run's folder, and
``aasaan upload RUN_FOLDER`` publishes it later.
"""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.tracking import store  # isort: skip  (sets mlflow up before it is imported)
import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param

from pipelines import bundle as bundles
from pipelines.errors import UsageError
from pipelines.tracking.record import RunRecord

log = logging.getLogger("aasaan")

BATCH = 500
LONGEST_PARAM = 500


class LiveRun:
    """Mirrors a training's metrics to an MLflow run, for as long as that works."""

    def __init__(self) -> None:
        self.record: RunRecord | None = None
        self.run_id: str | None = None
        self.monitor: Any = None

    def start(self, record: RunRecord) -> None:
        """Opens the MLflow run of `record`, or goes on with the one it had."""
        self.record = record
        try:
            client = store.connect()
            self.run_id = record.content.get("mlflow_run_id") or _create_run(record)
            client.update_run(self.run_id, status="RUNNING")
            record.update(
                mlflow_run_id=self.run_id, mlflow_complete=record.content.get("mlflow_complete", True)
            )
            if record.content["tracking"]["system_metrics"]:
                self._monitor_system()
        except Exception as error:
            self._give_up(error)
            return
        record.listeners.append(self._log)

    def end(self, status: str) -> None:
        """Marks the run FINISHED, FAILED or KILLED."""
        if self.monitor is not None:
            self.monitor.finish()
        if self.run_id is None:
            return
        try:
            store.connect().set_terminated(self.run_id, status)
        except Exception as error:
            self._give_up(error)

    def _monitor_system(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        self.monitor = SystemMetricsMonitor(self.run_id, sampling_interval=5, samples_before_logging=2)
        self.monitor.start()

    def _log(self, step: int, metrics: dict[str, float], time: int) -> None:
        if self.run_id is None:
            return
        try:
            entities = [Metric(name, value, time, step) for name, value in metrics.items()]
            for start in range(0, len(entities), BATCH):
                store.connect().log_batch(self.run_id, metrics=entities[start : start + BATCH])
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.run_id = None
        assert self.record is not None
        self.record.update(mlflow_complete=False)
        log.warning(
            "MLflow at %s does not answer (%s). The run goes on and is kept in %s.",
            store.tracking_uri(), str(error).split("\n")[0][:200], self.record.folder,
        )  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A run in MLflow; `version` is that of the registered model, if it was registered."""

    run_id: str
    experiment_id: str
    model_name: str
    version: str | None


def publish(folder: Path) -> Published:
    """Brings a finished run's folder to MLflow: parameters, data, plots, bundle, version.

    Can be called again: it completes the run that is there. Raises `UsageError` for a folder that
    is not a finished run, and whatever MLflow raises.
    """
    record = RunRecord.open(folder)
    if not record.content.get("finished"):
        raise UsageError(
            f"{folder} is not a finished run. Expected a folder that `finetune` wrote to its end."
        )
    bundle = bundles.load(folder / "bundle")
    content = record.content
    client = store.connect()
    run_id = _existing_run(content.get("mlflow_run_id")) or _create_run(record)
    if not content.get("mlflow_complete"):
        _replay_metrics(record, run_id)
    record.update(mlflow_run_id=run_id, mlflow_complete=True)
    manifest = bundle.manifest
    sizes = {"trainable_parameters": manifest.trainable_parameters, "parameters": manifest.parameters}
    params = {**content["params"], **sizes}
    client.log_batch(run_id, params=[Param(key, str(value)[:LONGEST_PARAM]) for key, value in params.items()])
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        _log_data(content["data"])
        mlflow.log_artifact(str(folder / "config.yaml"))
        mlflow.log_artifact(str(folder / "bundle" / "README.md"), "card")
        mlflow.log_artifacts(str(folder / "plots"), "plots")
        model_uri = _log_model(bundle)
    version = None
    if content["tracking"]["register_model"]:
        from pipelines.tracking import registry

        version = registry.register(bundle, model_uri, run_id)
    client.set_terminated(run_id, "FINISHED")
    run = client.get_run(run_id)
    return Published(run_id, run.info.experiment_id, f"aasaan-{content['task']}", version)


def _create_run(record: RunRecord) -> str:
    content = record.content
    name = content["tracking"]["experiment"] or f"aasaan-{content['task']}"
    tags = {**content["tags"], "aasaan.folder": record.folder.name}
    run = store.connect().create_run(store.experiment_id(name), run_name=content["name"], tags=tags)
    return str(run.info.run_id)


def _existing_run(run_id: str | None) -> str | None:
    if run_id is None:
        return None
    try:
        return str(store.connect().get_run(run_id).info.run_id)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _replay_metrics(record: RunRecord, run_id: str) -> None:
    entities = [
        Metric(name, value, line["time"], line["step"])
        for line in record.metrics()
        for name, value in line["metrics"].items()
    ]
    client = store.connect()
    for start in range(0, len(entities), BATCH):
        client.log_batch(run_id, metrics=entities[start : start + BATCH])


def _log_data(data: dict[str, Any]) -> None:
    source = CodeDatasetSource(tags={"source": data["source"], "counts": json.dumps(data["counts"])})
    name = data["source"].split("/")[-1][:200]
    for split, digest in data["digests"].items():
        mlflow.log_input(MetaDataset(source, name=name, digest=digest), context=split)
    mlflow.log_metrics({f"data/rows/{split}": rows for split, rows in data["rows"].items()})


def _log_model(bundle: bundles.Bundle) -> str:
    from pipelines.environment import versions

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the Any in our predictions' dicts, once more
        logged = mlflow.pyfunc.log_model(
            name="bundle",
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"bundle": str(bundle.folder)},
            pip_requirements=[f"aasaan=={versions()['aasaan']}"],
            metadata={"task": bundle.task.name, "manifest_name": bundle.manifest.name},
        )
    return str(logged.model_uri)
