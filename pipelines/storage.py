"""Folders and files of ours: where state lives, and how a file appears whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import StorageError


def home() -> Path:
    """The folder of all state: AASAAN_HOME, or ``.aasaan`` in the working directory."""
    return Path(os.environ.get("AASAAN_HOME") or ".aasaan").absolute()


def runs_folder() -> Path:
    return home() / "runs"


def require_space(folder: Path, needed: int) -> None:
    """Makes `folder` and proves that `needed` bytes can be written there, or raises `StorageError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"aasaan")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}. "
            "Make it writable or point AASAAN_HOME to another folder."
        ) from None
    if free < needed:
        raise StorageError(
            f"{folder} has {free / 1e6:.0f} MB free, this run needs about {needed / 1e6:.0f} MB. "
            "Free some space or point AASAAN_HOME to another disk."
        )


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """A new folder beside `destination` that becomes it when the block ends well.

    On an exception nothing is left behind and an existing `destination` stays as it was.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if destination.exists():
            shutil.rmtree(destination)
        folder.replace(destination)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a file aside and moves it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
