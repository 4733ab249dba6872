"""Stopping, resuming, repeating: on the tiny model, through the real entry points."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from pipelines import training
from pipelines.config import RunConfig, load_config
from pipelines.errors import (
    AasaanError,
    ConfigError,
    DataError,
    Interrupted,
    ModelError,
    StorageError,
    UsageError,
)
from pipelines.run_folders import find_unfinished, last_checkpoint
from pipelines.storage import runs_folder
from tests.conftest import CONFIGS, ROOT


def config_for(tiny_bert: Path, *overrides: str) -> RunConfig:
    return load_config(CONFIGS / "tiny" / "sentiment.yaml", [f"base.name={tiny_bert}", *overrides])


def curve(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "record" / "metrics.jsonl").read_text().splitlines()]
    return {
        line["step"]: line["metrics"]["validation/macro_f1"]
        for line in lines
        if "validation/macro_f1" in line["metrics"]
    }


def test_same_seed_same_metrics(tiny_bert: Path) -> None:
    config = config_for(tiny_bert, "training.max_steps=20")
    one, two = training.fit(config), training.fit(config)
    assert curve(one.folder) == curve(two.folder)
    assert one.folder != two.folder


@pytest.mark.parametrize("adapter", ["{rank: 4, dropout: 0.1}", "null"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    tiny_bert: Path, adapter: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tiny_bert, "training.epochs=2", f"adapter={adapter}")
    unbroken = training.fit(config)

    class InterruptAt(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 70:  # in the middle of the second epoch, off any evaluation
                signal.raise_signal(signal.SIGINT)

    original = training.LengthBatchedTrainer

    def with_interrupt(**kwargs: Any) -> Any:
        kwargs["callbacks"] = [InterruptAt(), *kwargs["callbacks"]]
        return original(**kwargs)

    monkeypatch.setattr(training, "LengthBatchedTrainer", with_interrupt)
    with pytest.raises(Interrupted, match=r"Stopped at step 70; a checkpoint is kept(.|\n)*--resume"):
        training.fit(config)
    monkeypatch.undo()
    monkeypatch.setenv("AASAAN_HOME", str(home))
    resumed = training.fit(config, resume=True)
    assert curve(resumed.folder) == curve(unbroken.folder)
    for (name, one), other in zip(
        unbroken.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)


def test_kill_9_loses_at_most_one_interval(tiny_bert: Path, home: Path) -> None:
    overrides = [f"base.name={tiny_bert}", "training.epochs=40", "training.evaluate_every=0.25"]
    command = [sys.executable, "-m", "pipelines", "finetune", "configs/tiny/sentiment.yaml"]
    for override in overrides:
        command += ["--set", override]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(
            lambda: len(list(home.glob("runs/*/checkpoints/checkpoint-*/trainer_state.json"))) >= 2, process
        )
    finally:
        process.kill()
        process.wait()
    folder = next(runs_folder().iterdir())
    checkpoint = last_checkpoint(folder)
    assert checkpoint is not None
    last_logged = max(curve(folder))
    interval = min(curve(folder))
    assert int(checkpoint.rsplit("-", 1)[1]) >= last_logged - interval
    config = load_config(CONFIGS / "tiny" / "sentiment.yaml", overrides)
    assert find_unfinished(config, resume=True) == folder


def wait_for(condition: Any, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    for step, state in ((10, '{"global_step": 10}'), (20, '{"global_st')):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoints" / "checkpoint-10")


def test_nothing_to_resume(tiny_bert: Path) -> None:
    with pytest.raises(UsageError, match="Nothing to resume: no unfinished run of exactly this config"):
        training.fit(config_for(tiny_bert), resume=True)


def test_frozen_base_trains_the_head_alone(tiny_bert: Path) -> None:
    config = config_for(tiny_bert, "adapter=null", "freeze_base=true", "training.max_steps=4")
    fitted = training.fit(config)
    trainable = [name for name, parameter in fitted.model.named_parameters() if parameter.requires_grad]
    assert trainable == ["head.1.weight", "head.1.bias"]


@pytest.mark.parametrize(
    ("override", "error", "expected"),
    [
        ("adapter.projections=[query, qkv]", ModelError, "no linear of this 'bert' model matches 'qkv'"),
        ("data.name=nosuch", DataError, "No packaged corpus 'nosuch'"),
        ("base.name=/nosuch", ModelError, "no such folder"),
        ("task.labels=[negative, positive]", DataError, "unknown label 'neutral'"),
    ],
)
def test_mistakes_are_told_before_training(
    tiny_bert: Path, override: str, error: type[AasaanError], expected: str
) -> None:
    with pytest.raises(error) as caught:
        training.fit(config_for(tiny_bert, override))
    assert expected in str(caught.value)


def test_bf16_where_it_is_emulated_is_refused(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.environment.computes_bf16", lambda: False)
    with pytest.raises(ConfigError, match="Use auto or fp32"):
        training.fit(config_for(tiny_bert, "training.precision=bf16"))


def test_full_disk_fails_before_training(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("pipelines.storage.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match="0 MB free, this run needs about"):
        training.fit(config_for(tiny_bert))


def test_home_that_is_a_file_fails_before_training(tiny_bert: Path, home: Path) -> None:
    home.write_text("in the way")
    with pytest.raises(StorageError, match="point AASAAN_HOME to another folder"):
        training.fit(config_for(tiny_bert))


def test_a_text_of_100_000_characters_is_cut_and_counted(
    tiny_bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"text number {i} is here,{('negative', 'neutral', 'positive')[i % 3]}" for i in range(60)]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(["text,label", *rows, "long " * 20_000 + ",positive"]) + "\n", encoding="utf-8")
    overrides = ["data.source=file", f"data.files={{all: {path}}}", "training.max_steps=2"]
    with caplog.at_level("WARNING", logger="aasaan"):
        training.fit(config_for(tiny_bert, *overrides))
    assert re.search(r"1 of \d+ texts are longer than task.max_length and were cut", caplog.text)


def test_accelerate_launch_scales_it_out(tiny_bert: Path, home: Path) -> None:
    """Two processes on the CPU, by the same command behind accelerate's launcher."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
        "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1",
        "-m", "pipelines", "finetune", "configs/tiny/sentiment.yaml", "--json",
        "--set", f"base.name={tiny_bert}", "--set", "training.max_steps=10",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(runs_folder().iterdir())) == 1
    assert json.loads(done.stdout[done.stdout.index("{") :])["metrics"]["accuracy"] > 0
