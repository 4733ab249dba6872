"""The registered models: versions, the aliases challenger and champion, and earned promotion.

Every change of the champion is a run of its own in the experiment ``aasaan-promotions``: from, to,
the numbers, who asked and when. Rollback goes by that record.
"""

import contextlib
import getpass
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.tracking import store  # isort: skip  (sets mlflow up before it is imported)
import mlflow
from mlflow.exceptions import MlflowException

from pipelines import bundle as bundles
from pipelines.errors import PromotionError, RegistryError
from pipelines.storage import home

CHAMPION, CHALLENGER = "champion", "challenger"
HISTORY = "aasaan-promotions"


@dataclass(frozen=True)
class Version:
    """A version of a task's registered model with the numbers that decide promotions, in points."""

    task: str
    number: str
    run_id: str
    metric: str
    value: float
    low: float
    high: float
    evaluation_fingerprint: str


@dataclass(frozen=True)
class Decision:
    """Whether `challenger` became champion in place of `champion`, and why."""

    promoted: bool
    challenger: Version
    champion: Version | None
    reason: str


def model_name(task: str) -> str:
    return f"aasaan-{task}"


def register(bundle: bundles.Bundle, model_uri: str, run_id: str) -> str:
    """Makes the logged model a version of its task's registered model and the challenger."""
    client = store.connect()
    manifest = bundle.manifest
    name = model_name(bundle.task.name)
    primary = manifest.metrics[manifest.primary_metric]
    tags = {
        "run_name": manifest.name,
        "metric": manifest.primary_metric,
        **{key: repr(primary[key]) for key in ("value", "low", "high")},
        "evaluation_fingerprint": manifest.data["evaluation_fingerprint"],
    }
    known = [v for v in _all_versions(name) if v.run_id == run_id]
    if known:
        return str(known[0].version)
    with contextlib.redirect_stderr(io.StringIO()):  # it prints what we are about to say
        version = mlflow.register_model(model_uri, name, tags=tags).version
    client.set_registered_model_alias(name, CHALLENGER, version)
    return str(version)


def by_alias(task: str, alias: str) -> Version | None:
    """The version that `alias` points to, if any."""
    client = store.connect()
    try:
        found = client.get_model_version_by_alias(model_name(task), alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise RegistryError(f"The MLflow registry at {store.tracking_uri()} failed: {error}") from None
    return _as_version(task, found)


def promote(task: str, number: str | None = None, force: bool = False) -> Decision:
    """Makes a version (the challenger by default) champion if it earned that, or if forced.

    Earned means: on the same evaluation examples its primary metric lies above the interval of the
    champion's; the first version of a task is champion for want of another.
    """
    challenger = _wanted(task, number)
    champion = by_alias(task, CHAMPION)
    if champion is not None and champion.number == challenger.number:
        return Decision(False, challenger, champion, "it is the champion already")
    earned, reason = _earned(challenger, champion)
    if not earned and not force:
        return Decision(False, challenger, champion, reason)
    _set_champion(task, challenger, champion, f"forced: {reason}" if force and not earned else reason)
    return Decision(True, challenger, champion, reason)


def rollback(task: str) -> Decision:
    """Gives the champion's place back to the version that it had been taken from."""
    champion = by_alias(task, CHAMPION)
    last = next((entry for entry in history(task) if champion and entry["to"] == champion.number), None)
    if champion is None or last is None or not last["from"]:
        raise PromotionError(
            f"{model_name(task)}: nothing to roll back to. Expected a champion that replaced another one."
        )
    previous = _wanted(task, last["from"])
    _set_champion(task, previous, champion, "rollback", replaces=_champion_before(task, previous.number))
    return Decision(True, previous, champion, "rollback")


def history(task: str) -> list[dict[str, str]]:
    """The record of promotions, newest first: from, to, reason, values, who and when."""
    client = store.connect()
    runs = client.search_runs(
        [store.experiment_id(HISTORY)],
        filter_string=f"params.task = '{task}'",
        order_by=["attributes.start_time DESC"],
        max_results=1000,
    )
    return [{"from": "", **run.data.params, "at": str(run.info.start_time)} for run in runs]


def compare(task: str) -> list[dict[str, Any]]:
    """All versions of a task's model with their numbers and aliases, best first."""
    client = store.connect()
    name = model_name(task)
    versions = _all_versions(name)
    if not versions:
        raise RegistryError(f"{name} has no versions yet. Train one: make finetune TASK={task}.")
    aliases = client.get_registered_model(name).aliases
    rows = []
    for found in versions:
        version = _as_version(task, found)
        rows.append(
            {
                "version": version.number,
                "run": found.tags.get("run_name", version.run_id),
                "metric": version.metric,
                "value": version.value,
                "low": version.low,
                "high": version.high,
                "evaluation_fingerprint": version.evaluation_fingerprint,
                "aliases": sorted(
                    alias for alias, number in aliases.items() if str(number) == version.number
                ),
            }
        )
    return sorted(rows, key=lambda row: -row["value"])


def download(uri: str) -> Path:
    """The bundle folder behind a ``models:/`` or ``runs:/`` URI. Raises `RegistryError`."""
    store.connect()
    try:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=_download_folder(uri)))
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"{uri} cannot be had from the MLflow store at {store.tracking_uri()}: "
            f"{str(error).splitlines()[0]}"
        ) from None
    manifests = sorted(found.rglob(bundles.MANIFEST))
    if not manifests:
        raise RegistryError(f"{uri} holds no aasaan bundle.")
    return manifests[0].parent


def champion_bundle(task: str) -> tuple[Path, Version]:
    """Folder and version of a task's champion. Raises `RegistryError` when there is none."""
    champion = by_alias(task, CHAMPION)
    if champion is None:
        raise RegistryError(
            f"{model_name(task)} has no champion in the MLflow store at {store.tracking_uri()}. "
            f"Train one (make finetune TASK={task}) or promote a version (aasaan promote --task {task})."
        )
    return download(f"models:/{model_name(task)}/{champion.number}"), champion


def _earned(challenger: Version, champion: Version | None) -> tuple[bool, str]:
    if champion is None:
        return True, "the first version of this task"
    if challenger.evaluation_fingerprint != champion.evaluation_fingerprint:
        return False, (
            "it was judged on other examples than the champion, so their metrics cannot be compared; "
            "train both on the same data or ask for it with --force"
        )
    better = challenger.value > champion.high
    verb = "lies above" if better else "does not lie above"
    return better, (
        f"its {challenger.metric} {challenger.value:.2f} {verb} the champion's "
        f"{champion.value:.2f} (95 % interval {champion.low:.2f} to {champion.high:.2f})"
    )


def _set_champion(
    task: str, to: Version, before: Version | None, reason: str, replaces: str | None = None
) -> None:
    client = store.connect()
    run = client.create_run(store.experiment_id(HISTORY), run_name=f"{task} v{to.number}")
    record = {
        "task": task,
        "from": replaces if replaces is not None else (before.number if before else ""),
        "to": to.number,
        "reason": reason,
        "metric": to.metric,
        "value": f"{to.value:.4f}",
        "replaced_value": f"{before.value:.4f}" if before else "",
        "by": _user(),
    }
    for key, value in record.items():
        if value:
            client.log_param(run.info.run_id, key, value)
    client.set_registered_model_alias(model_name(task), CHAMPION, to.number)
    client.set_terminated(run.info.run_id)


def _champion_before(task: str, number: str) -> str:
    return next((entry["from"] for entry in history(task) if entry["to"] == number), "")


def _wanted(task: str, number: str | None) -> Version:
    if number is None:
        found = by_alias(task, CHALLENGER)
        if found is None:
            raise RegistryError(
                f"{model_name(task)} has no challenger. Train one: make finetune TASK={task}."
            )
        return found
    versions = {str(v.version): v for v in _all_versions(model_name(task))}
    if number not in versions:
        raise RegistryError(
            f"{model_name(task)} has no version {number!r}. "
            f"There are: {', '.join(sorted(versions)) or 'none'}."
        )
    return _as_version(task, versions[number])


def _all_versions(name: str) -> list[Any]:
    return list(store.connect().search_model_versions(f"name = '{name}'", max_results=1000))


def _as_version(task: str, found: Any) -> Version:
    tags = found.tags
    return Version(
        task=task,
        number=str(found.version),
        run_id=str(found.run_id),
        metric=tags["metric"],
        value=float(tags["value"]),
        low=float(tags["low"]),
        high=float(tags["high"]),
        evaluation_fingerprint=tags["evaluation_fingerprint"],
    )


def _download_folder(uri: str) -> str | None:
    """A cache folder for remote stores; None where the artefacts are local files already."""
    if store.tracking_uri().startswith("sqlite:"):
        return None
    folder = home() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.mkdtemp(prefix=uri.split("/")[1] + "-", dir=folder)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
