import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import bundle as bundles
from pipelines.bundle import Bundle
from pipelines.errors import BundleError
from tests.conftest import FinishedRun

TEXTS = ["The exam was a piece of cake.", "No.", "Not bad at all, but never again " * 20]


@pytest.fixture
def copy(finished: FinishedRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.bundle, tmp_path / "bundle"))


def test_exact_files(finished: FinishedRun) -> None:
    files = {p.relative_to(finished.bundle).as_posix() for p in finished.bundle.rglob("*") if p.is_file()}
    assert files == {
        "README.md", "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "bundle.json",
        "onnx/model.onnx", "onnx/parity.json", "tokenizer/tokenizer.json",
    }  # fmt: skip


def test_manifest_tells_what_is_needed_to_audit(finished: FinishedRun) -> None:
    manifest = bundles.load(finished.bundle).manifest
    assert manifest.task["labels"] == ["negative", "neutral", "positive"]
    assert manifest.adapter is not None
    assert manifest.adapter["projections"] == ["query", "key", "value"]
    # Two layers, three projections, A and B of 4 x 32 each; a head of 32 x 3 and 3 biases.
    assert manifest.trainable_parameters == 2 * 3 * 2 * 4 * 32 + 32 * 3 + 3
    assert manifest.seed == 7
    assert manifest.data["source"] == "packaged:sentiment"
    assert {"torch", "transformers", "aasaan"} <= set(manifest.versions)
    assert manifest.metrics["macro_f1"]["low"] <= manifest.metrics["macro_f1"]["value"]


def test_both_engines_give_the_same_answers(finished: FinishedRun) -> None:
    bundle = bundles.load(finished.bundle)
    torch_logits, onnx_logits = (bundle.predictor(engine).logits(TEXTS) for engine in ("torch", "onnx"))
    np.testing.assert_allclose(torch_logits, onnx_logits, atol=0.15)
    assert bundle.manifest.parity["fp32_max_difference"] < 1e-3


def test_a_batch_gives_what_single_texts_give(finished: FinishedRun) -> None:
    predictor = bundles.load(finished.bundle).predictor("torch")
    together = predictor.predict(TEXTS)
    for text, prediction in zip(TEXTS, together, strict=True):
        alone = predictor.predict([text])[0]
        assert alone.label == prediction.label
        assert alone.score == pytest.approx(prediction.score, abs=1e-5)


def flip_one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name",
    ["adapter/adapter_model.safetensors", "onnx/model.onnx", "tokenizer/tokenizer.json", "README.md"],
)
def test_one_flipped_byte_is_refused_with_the_files_name(copy: Path, name: str) -> None:
    flip_one_byte(copy / name)
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        bundles.load(copy)


def test_missing_file_and_missing_bundle(copy: Path) -> None:
    (copy / "onnx" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"onnx/model\.onnx is missing"):
        bundles.load(copy)
    with pytest.raises(BundleError, match=r"it has no bundle\.json"):
        bundles.load(copy / "adapter")


def test_manifest_of_another_schema(copy: Path) -> None:
    manifest = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(BundleError, match="not a manifest of schema 1"):
        bundles.load(copy)


def write_again(bundle: Bundle, destination: Path, probe_model: torch.nn.Module) -> None:
    def fill(folder: Path) -> tuple[bundles.Manifest, str]:
        shutil.copytree(bundle.folder / "onnx", folder / "onnx")
        return bundle.manifest, "card"

    bundles.write(destination, probe_model, bundle.tokenizer(), True, fill, TEXTS)  # type: ignore[arg-type]


def test_a_bundle_that_does_not_reload_to_the_trained_model_is_not_written(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles.load(finished.bundle)
    write_again(bundle, tmp_path / "good", bundle.model())
    assert bundles.load(tmp_path / "good").manifest.name == bundle.manifest.name

    def forget_the_head(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
        return model

    adapted = bundle.model()
    monkeypatch.setattr(bundles, "load_adapter", forget_the_head)
    with pytest.raises(BundleError, match="does not reload to the trained model"):
        write_again(bundle, tmp_path / "bad", adapted)
    assert [path.name for path in tmp_path.iterdir()] == ["good"]
