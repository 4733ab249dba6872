from pathlib import Path

import pytest

from pipelines.config import RunConfig, dump_config, load_config
from pipelines.errors import ConfigError
from tests.conftest import CONFIGS, ROOT

ALL = sorted(CONFIGS.rglob("*.yaml"))


def test_number_of_configs() -> None:
    assert len(ALL) == 4


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_config_loads_and_opens_with_its_command(path: Path) -> None:
    config = load_config(path)
    first_lines = path.read_text(encoding="utf-8").splitlines()[:3]
    assert any(str(path.relative_to(ROOT)) in line or "make finetune" in line for line in first_lines)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_dumped_config_reads_back_equal(tmp_path: Path) -> None:
    config = load_config(CONFIGS / "sentiment.yaml", ["training.epochs=2", "seed=5"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_config(config), encoding="utf-8")
    assert load_config(copy) == config
    assert (config.training.epochs, config.seed) == (2, 5)


def test_three_mistakes_are_reported_together_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\ntask:\n  name: sentiment\n  poolng: mean\n"
        "training:\n  epochs: -1\nadapter:\n  rank: many\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert "3 mistake(s)" in message
    assert "task.poolng (line 4, column 3): no such setting; did you mean pooling?" in message
    assert "training.epochs (line 6, column 3)" in message
    assert "greater than 0 (found -1)" in message
    assert "adapter.rank (line 8, column 3)" in message


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["training.epochs"], "expected a.b=value"),
        (["data.source=file"], "files must name either `all`"),
        (["data.source=hub", "data.splits.all=train"], "a commit hash in `revision`"),
        (["base.source=hub", "base.name=x/y"], "needs a pinned revision"),
        (["data.fractions.train=0.5"], "must be 1, found 0.7"),
        (["freeze_base=true"], "freeze_base goes with `adapter: null`"),
        (["task.labels=[a, a]"], "labels must differ"),
        (["task.name=poetry"], "task.name"),
    ],
)
def test_wrong_overrides_say_what_was_expected(overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=r"mistake|expected") as caught:
        load_config(CONFIGS / "sentiment.yaml", overrides)
    assert expected in str(caught.value)


def test_missing_file_lists_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=r"configs/sentiment\.yaml"):
        load_config(Path("configs/nosuch.yaml"))


def test_broken_yaml_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\ntask: {name: [\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 3, column 1"):
        load_config(path)


def test_reference_page_is_what_the_schema_says() -> None:
    import runpy

    page = runpy.run_path(str(ROOT / "docs" / "generate_configuration.py"))["render"]()
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == page
