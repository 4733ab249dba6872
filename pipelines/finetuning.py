"""Fine-tuning as its users know it: train, track, register, promote."""

import logging
from dataclasses import dataclass
from pathlib import Path

from pipelines.config import RunConfig, load_config
from pipelines.errors import Interrupted
from pipelines.tracking import registry
from pipelines.tracking.runs import LiveRun, Published, publish
from pipelines.training import RunResult, train

log = logging.getLogger("aasaan")


@dataclass(frozen=True)
class Finetuned:
    """A run, where MLflow has it (None if it could not be reached) and what became of its version."""

    result: RunResult
    published: Published | None
    decision: registry.Decision | None


def finetune(
    config: RunConfig | str | Path, overrides: list[str] | None = None, resume: bool | Path = False
) -> Finetuned | None:
    """Fine-tunes a base for a task and tracks it in MLflow.

    `config` is a `RunConfig` or the path of a YAML, `overrides` are ``a.b=value``. With `resume` the
    newest unfinished run of exactly this config goes on from its last checkpoint. Raises an
    `AasaanError` for anything wrong with config, data or base, before training; MLflow being out of
    reach is a warning. Under `accelerate launch` all processes but the first return None.
    """
    if not isinstance(config, RunConfig):
        config = load_config(Path(config), overrides)
    live = LiveRun()
    try:
        result = train(config, resume, on_start=live.start)
    except (Interrupted, KeyboardInterrupt):
        live.end("KILLED")
        raise
    except BaseException:
        live.end("FAILED")
        raise
    live.end("FINISHED")
    if result is None:
        return None
    try:
        published = publish(result.folder)
        decision = None
        if published.version is not None and config.tracking.promote:
            decision = registry.promote(config.task.name, published.version)
    except Exception as error:
        log.warning(
            "The run could not be published to MLflow (%s).\nIt is kept whole in %s; publish it later with: "
            "aasaan upload %s",
            str(error).split("\n")[0][:200], result.folder, result.folder,
        )  # fmt: skip
        return Finetuned(result, None, None)
    return Finetuned(result, published, decision)
