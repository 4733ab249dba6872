"""The local record of a run: written first, so that no tracking server can lose a training.

record/run.json       parameters, tags and data of the run; its MLflow run once there is one
record/metrics.jsonl  one line a step: {"step", "time" (ms since 1970), "metrics"}
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import environment
from pipelines.config import RunConfig
from pipelines.data.prepare import Prepared, fingerprint
from pipelines.models.bases import Base
from pipelines.storage import write_json

Listener = Callable[[int, dict[str, float], int], None]


@dataclass
class RunRecord:
    """A run's record in `folder`. `listeners` hear of every metric as it is written."""

    folder: Path
    content: dict[str, Any]
    listeners: list[Listener] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> "RunRecord":
        """The record of a run folder: the one that is there, or a new one."""
        path = folder / "record" / "run.json"
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"name": folder.name}
        return cls(folder, content)

    def describe(self, config: RunConfig, data: Prepared, base: Base) -> None:
        """Notes what the run is about to do."""
        self.update(
            task=config.task.name,
            tracking=config.tracking.model_dump(),
            params=_flat(config.model_dump(mode="json")),
            tags={
                "task": config.task.name,
                "base": base.name,
                "base_sha256": base.sha256,
                "git_commit": environment.git_commit(),
                **{f"hardware.{key}": str(value) for key, value in environment.hardware().items()},
                **{f"version.{key}": value for key, value in environment.versions().items()},
            },
            data={
                "source": data.source,
                "digests": {name: fingerprint({name: list(rows)})[:32] for name, rows in data.splits.items()},
                "counts": data.counts,
                "rows": {name: len(rows) for name, rows in data.splits.items()},
                "evaluation_split": data.evaluation_split,
            },
        )

    def update(self, **values: Any) -> None:
        self.content |= values
        write_json(self.folder / "record" / "run.json", self.content)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Appends metrics of a step and tells the listeners."""
        now = int(time.time() * 1000)
        with (self.folder / "record" / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "time": now, "metrics": metrics}) + "\n")
        for listener in self.listeners:
            listener(step, metrics, now)

    def metrics(self) -> list[dict[str, Any]]:
        """Every line of metrics.jsonl; one that a crash cut short is left out."""
        path = self.folder / "record" / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        found: list[dict[str, Any]] = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def finish(self) -> None:
        self.update(finished=True)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat
