"""The folders that runs live in: a new one, an unfinished one to go on with, its last checkpoint.

<home>/runs/<name>-<date>-<time>/
    config.yaml  record/  checkpoints/  bundle/  plots/
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from pipelines.config import RunConfig, dump_config
from pipelines.errors import UsageError
from pipelines.storage import runs_folder, write_text


def is_first_process() -> bool:
    """Whether this process is the one that writes: always, unless a launcher started several."""
    return bool(PartialState().is_main_process)


def shared_between_processes(find: Callable[[], Path]) -> Path:
    """What the first process finds, told to the others."""
    found = [find() if is_first_process() else None]
    broadcast_object_list(found)
    assert found[0] is not None
    return found[0]


def new_folder(config: RunConfig) -> Path:
    """Makes the folder of a new run, with its resolved config in it."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        folder = runs_folder() / f"{config.name}-{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        write_text(folder / "config.yaml", dump_config(config))
        return folder
    raise UsageError(f"Too many runs named {config.name}-{stamp} in {runs_folder()}.")


def find_unfinished(config: RunConfig, resume: bool | Path) -> Path:
    """The newest unfinished run of exactly this config, or the one that `resume` names if it is that.

    Raises `UsageError` when there is none.
    """
    if isinstance(resume, Path):
        candidates = [resume]
    else:
        newest_first = sorted(runs_folder().glob(f"{config.name}-*"), key=lambda p: p.stat().st_mtime)
        candidates = newest_first[::-1]
    wanted = dump_config(config)
    for folder in candidates:
        kept = folder / "config.yaml"
        same = kept.is_file() and kept.read_text(encoding="utf-8") == wanted
        if same and not (folder / "bundle").exists() and last_checkpoint(folder):
            return folder
    raise UsageError(
        f"Nothing to resume: no unfinished run of exactly this config with a checkpoint in "
        f"{candidates[0].parent if candidates else runs_folder()}. Start without --resume, or use the "
        "same config and --set as the run that was stopped."
    )


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; the state file is the last that comes."""
    found: list[tuple[int, Path]] = []
    for path in (folder / "checkpoints").glob("checkpoint-*/trainer_state.json"):
        try:
            found.append((int(json.loads(path.read_text(encoding="utf-8"))["global_step"]), path.parent))
        except (ValueError, KeyError):
            continue
    return str(max(found)[1]) if found else None
