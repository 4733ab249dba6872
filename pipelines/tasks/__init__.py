"""The tasks. A third one is a module here, its settings in `settings.py` and a YAML in configs/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.tasks.settings import SentimentSettings

if TYPE_CHECKING:
    from pipelines.tasks.task import Task

NAMES = ("sentiment",)


def create_task(settings: SentimentSettings | Mapping[str, Any]) -> Task:
    """The task that the `task` section of a config, or of a bundle's manifest, describes."""
    # Imported here so that checking a config does not wait for torch.
    from pipelines.tasks.sentiment import SentimentTask

    if not isinstance(settings, SentimentSettings):
        settings = SentimentSettings.model_validate(settings)
    return SentimentTask(settings)
