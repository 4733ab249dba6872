"""The real server process: start, answer, refuse."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.routes.oip import EXAMPLE
from tests.conftest import FinishedRun


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serve(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "serve", *arguments],
        env={**os.environ, "AASAAN_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[str]:
    port = free_port()
    process = serve(home, "--port", str(port), *arguments)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.communicate()[1]
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)


def test_it_serves_the_champion_of_the_registry(finished: FinishedRun) -> None:
    with serving(finished.home) as url:
        request = urllib.request.Request(
            f"{url}/v2/models/sentiment/infer",
            json.dumps(EXAMPLE).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["model_version"] == "1"


def test_a_registry_without_a_champion(empty_store: Path) -> None:
    process = serve(empty_store, "--port", str(free_port()))
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "aasaan-sentiment has no champion" in errors
    assert "make finetune TASK=sentiment" in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken(finished: FinishedRun) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = serve(finished.home, "--port", str(port), "--bundle", str(finished.bundle))
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use" in errors
    assert "--port 8001" in errors


@pytest.mark.parametrize("damage", ["flip", "none there"])
def test_a_bundle_that_is_no_good(finished: FinishedRun, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "bundle"
    if damage == "flip":
        shutil.copytree(finished.bundle, folder)
        graph = folder / "onnx" / "model.onnx"
        graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    process = serve(finished.home, "--port", str(free_port()), "--bundle", str(folder))
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert ("onnx/model.onnx is damaged" if damage == "flip" else "is not a bundle") in errors.replace(
        "\n", " "
    )
