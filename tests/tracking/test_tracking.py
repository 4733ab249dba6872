"""Runs and registry against real stores: SQLite, and a real MLflow server over HTTP."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from pipelines import finetune
from pipelines.errors import PromotionError, RegistryError
from pipelines.loading import find_bundle
from pipelines.tracking import registry, store
from pipelines.tracking.runs import LiveRun, _log_model, publish
from tests.conftest import CONFIGS, FinishedRun
from tests.service.test_serving import free_port


@pytest.fixture
def store_of(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the store that the finished run is in."""
    monkeypatch.setenv("AASAAN_HOME", str(finished.home))
    return store.connect()


def test_a_run_has_everything(finished: FinishedRun, store_of: MlflowClient) -> None:
    published = finished.done.published  # type: ignore[attr-defined]
    run = store_of.get_run(published.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["adapter.rank"] == "4"
    assert run.data.params["trainable_parameters"] == str(2 * 3 * 2 * 4 * 32 + 99)
    assert {"git_commit", "hardware.cores", "version.torch", "base_sha256"} <= set(run.data.tags)
    metrics = run.data.metrics
    assert {"test/macro_f1", "test/macro_f1/low", "test/ece", "train/examples_per_second"} <= set(metrics)
    assert "test/accuracy/phenomenon/negation" in metrics
    assert metrics["data/rows/train"] > metrics["data/rows/test"]
    assert len(store_of.get_metric_history(published.run_id, "validation/macro_f1")) == 2
    inputs = run.inputs.dataset_inputs
    assert {tag.value for one in inputs for tag in one.tags} == {"train", "validation", "test"}
    assert json.loads(inputs[0].dataset.source)["tags"]["source"] == "packaged:sentiment"
    files = {f.path for f in store_of.list_artifacts(published.run_id)}
    assert {"config.yaml", "card", "plots"} <= files
    plots = {Path(f.path).name for f in store_of.list_artifacts(published.run_id, "plots")}
    assert plots == {"confusion_matrix.png", "loss.png", "reliability.png", "slices.png"}


def test_the_first_version_is_champion_and_on_record(store_of: MlflowClient) -> None:
    champion = registry.by_alias("sentiment", "champion")
    assert champion is not None
    assert champion.number == "1"
    assert registry.by_alias("sentiment", "challenger") == champion
    entry = registry.history("sentiment")[-1]
    assert (entry["from"], entry["to"], entry["reason"]) == ("", "1", "the first version of this task")
    assert entry["by"]


def test_pyfunc_in_a_fresh_process(finished: FinishedRun) -> None:
    code = (
        "import mlflow, json, sys\n"
        "model = mlflow.pyfunc.load_model('models:/aasaan-sentiment@champion')\n"
        "print(json.dumps(model.predict(['A piece of cake', 'No.'])))"
    )
    uri = f"sqlite:///{finished.home / 'mlflow.db'}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    offline = find_bundle(str(finished.bundle)).predictor().predict(["A piece of cake", "No."])
    assert [answer["label"] for answer in answers] == [prediction.label for prediction in offline]


def version(value: float, low: float, high: float, number: str, judged_on: str = "same") -> registry.Version:
    return registry.Version("sentiment", number, "run", "macro_f1", value, low, high, judged_on)


@pytest.mark.parametrize(
    ("challenger", "champion", "earned", "reason"),
    [
        (version(50, 45, 55, "1"), None, True, "the first version"),
        (version(80.1, 75, 85, "2"), version(75, 70, 80, "1"), True, "lies above the champion's 75.00"),
        (version(79.9, 75, 85, "2"), version(75, 70, 80, "1"), False, "does not lie above"),
        (version(99, 98, 100, "2", "other"), version(75, 70, 80, "1"), False, "judged on other examples"),
    ],
)
def test_promotion_is_earned(
    challenger: registry.Version, champion: registry.Version | None, earned: bool, reason: str
) -> None:
    assert registry._earned(challenger, champion)[0] == earned
    assert reason in registry._earned(challenger, champion)[1]


def test_promote_force_rollback_and_their_record(finished: FinishedRun, empty_store: Path) -> None:
    bundle = find_bundle(str(finished.bundle))
    client = store.connect()
    for number in ("1", "2"):
        run = client.create_run(store.experiment_id("t"))
        with mlflow.start_run(run_id=run.info.run_id):
            uri = _log_model(bundle)
        assert registry.register(bundle, uri, run.info.run_id) == number
    assert registry.promote("sentiment", "1").promoted
    decision = registry.promote("sentiment")
    assert not decision.promoted
    assert "does not lie above" in decision.reason
    assert registry.promote("sentiment", force=True).promoted
    assert registry.champion_bundle("sentiment")[1].number == "2"
    assert registry.rollback("sentiment").challenger.number == "1"
    assert registry.champion_bundle("sentiment")[1].number == "1"
    assert [entry["to"] for entry in registry.history("sentiment")] == ["1", "2", "1"]
    assert registry.history("sentiment")[1]["reason"].startswith("forced: its macro_f1")
    with pytest.raises(PromotionError, match="nothing to roll back to"):
        registry.rollback("sentiment")
    with pytest.raises(RegistryError, match=r"no version '9'. There are: 1, 2"):
        registry.promote("sentiment", "9")


def test_no_champion_and_no_such_model(empty_store: Path) -> None:
    with pytest.raises(RegistryError, match="has no champion"):
        find_bundle("sentiment")
    with pytest.raises(RegistryError, match="cannot be had from the MLflow store"):
        find_bundle("models:/nosuch/1")


@pytest.fixture
def server(tmp_path: Path, store_template: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A real MLflow server on a store of its own."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination", str(tmp_path / "artefacts"),
    ]  # fmt: skip
    shutil.copy(store_template, tmp_path / "server.db")
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=silent, stderr=silent, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield url, process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_server_that_dies_in_the_middle_loses_nothing(
    server: tuple[str, "subprocess.Popen[bytes]"],
    tiny_bert: Path,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, process = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    overrides = [f"base.name={tiny_bert}", "training.max_steps=6", "training.evaluate_every=0.02"]
    mirror = LiveRun._log

    def die_at_step_4(self: LiveRun, step: int, metrics: dict[str, float], time: int) -> None:
        if step >= 4:
            stop(process)
        mirror(self, step, metrics, time)

    monkeypatch.setattr(LiveRun, "_log", die_at_step_4)
    with caplog.at_level("WARNING", logger="aasaan"):
        done = finetune(CONFIGS / "tiny" / "sentiment.yaml", overrides)
    assert done is not None
    assert done.published is None
    assert (done.result.bundle.folder / "bundle.json").is_file()
    assert "The run goes on and is kept in" in caplog.text
    assert f"aasaan upload {done.result.folder}" in caplog.text

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    published = publish(done.result.folder)
    assert published.version == "1"
    history = store.connect().get_metric_history(published.run_id, "validation/macro_f1")
    assert [point.step for point in history] == [2, 4, 6]
    assert publish(done.result.folder) == published


def test_over_http(
    server: tuple[str, "subprocess.Popen[bytes]"], finished: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server[0])
    published = publish(finished.bundle.parent)
    assert registry.promote("sentiment", published.version).promoted
    assert find_bundle("sentiment").manifest == find_bundle(str(finished.bundle)).manifest
