import shutil
from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.models import bases
from pipelines.models.bases import PACKAGED, load_encoder, load_tokenizer, resolve_base


def test_packaged_encoder_is_the_published_file() -> None:
    base = resolve_base("packaged", "all-MiniLM-L6-v2")
    assert base.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert base.model_type == "bert"
    encoder = load_encoder(base)
    assert (encoder.config.num_hidden_layers, encoder.config.hidden_size) == (6, 384)
    assert load_tokenizer(base).encode("piece of cake").tokens == ["[CLS]", "piece", "of", "cake", "[SEP]"]


def test_another_file_under_the_packaged_name_is_refused(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "_packaged", lambda name, revision: tiny_bert)
    with pytest.raises(ModelError, match=f"expected {PACKAGED['all-MiniLM-L6-v2'][1]}"):
        resolve_base("packaged", "all-MiniLM-L6-v2")


def test_local_folder(tiny_bert: Path) -> None:
    base = resolve_base("path", str(tiny_bert))
    assert load_encoder(base).config.hidden_size == 32
    assert base.record()["sha256"] == base.sha256


def test_only_safetensors(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="Only safetensors are read"):
        resolve_base("path", str(folder))


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("packaged", "bert-huge", "There are: all-MiniLM-L6-v2"),
        ("path", "/nosuch/folder", "no such folder"),
        ("hub", "aasaan/nosuch", "cannot be fetched from the hub"),
    ],
)
def test_missing_bases(source: bases.Source, name: str, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        resolve_base(source, name, revision="0" * 40)
