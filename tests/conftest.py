"""One tiny model for the whole suite, made from a config, and a home that is thrown away."""

import os
import shutil
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from tests.tiny import make_tiny_bert

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and width 32 with its tokenizer, as save_pretrained writes them."""
    return make_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AASAAN_HOME in a temporary folder, and no tracking server from the environment."""
    folder = tmp_path / "home"
    monkeypatch.setenv("AASAAN_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs, whose tables take seconds to make."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def empty_store(home: Path, store_template: Path) -> Path:
    """The home with an empty MLflow store in it."""
    home.mkdir(parents=True)
    shutil.copy(store_template, home / "mlflow.db")
    return home


@pytest.fixture(scope="session")
def finished(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> "FinishedRun":
    """One whole fine-tuning of the tiny model through the real entry point, in a home of its own."""
    folder = tmp_path_factory.mktemp("finished-home")
    before = {key: os.environ.get(key) for key in ("AASAAN_HOME", "MLFLOW_TRACKING_URI")}
    os.environ["AASAAN_HOME"] = str(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        from pipelines import finetune

        done = finetune(CONFIGS / "tiny" / "sentiment.yaml", [f"base.name={tiny_bert}"])
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    return FinishedRun(folder, done)


class FinishedRun:
    """A home folder and what `finetune` returned for the run in it."""

    def __init__(self, home: Path, done: object) -> None:
        self.home = home
        self.done = done
        self.bundle = done.result.bundle.folder  # type: ignore[attr-defined]
