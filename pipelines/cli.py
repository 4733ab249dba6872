"""The ``aasaan`` command. No logic: it parses, calls and prints."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from pipelines.errors import AasaanError, UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Fine-tune a transformer for a task, track it, serve it.")  # fmt: skip
data_app = typer.Typer(no_args_is_help=True, help="Look at labelled data before training on it.")
app.add_typer(data_app, name="data")
out, err = Console(), Console(stderr=True)

Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a setting.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Model = Annotated[str, typer.Argument(help="A task (its champion), a bundle folder or an MLflow URI.")]
TaskName = Annotated[str, typer.Option("--task", help="The task's name.")]


def main() -> None:
    """Entry point: errors of ours become one message and an exit code, bugs keep their traceback."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s",
        handlers=[RichHandler(console=err, show_time=False, show_path=False, markup=False)],
    )  # fmt: skip
    logging.getLogger("aasaan").setLevel(logging.INFO)
    try:
        app()
    except AasaanError as error:
        err.print(f"[bold red]error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted; nothing half-written was left")
        sys.exit(130)


@app.command()
def finetune(
    config: Annotated[Path, typer.Argument(help="A run's YAML, e.g. configs/sentiment.yaml.")],
    overrides: Set = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the stopped run of this config.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune, evaluate, write a bundle, track it in MLflow, promote it if it earned that."""
    from pipelines.config import load_config

    checked = load_config(config, overrides)
    from pipelines.finetuning import finetune as run

    done = run(checked, resume=resume)
    if done is None:  # a process that `accelerate launch` started beside the first
        return
    if as_json:
        _print_json(_finetuned_record(done))
    else:
        _print_finetuned(done)


@app.command()
def evaluate(
    model: Model,
    data: Annotated[
        Path | None, typer.Option("--data", help="A labelled CSV, TSV, JSONL or Parquet file.")
    ] = None,
    columns: Annotated[list[str] | None, typer.Option("--column", metavar="OURS=THEIRS")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="THEIRS=OURS")] = None,
    only: Annotated[str, typer.Option("--only", help="Answer with these labels only, comma-separated.")] = "",
    as_json: Json = False,
) -> None:
    """Metrics of a model: on a labelled file, or as recorded when it was trained."""
    from pipelines.config import DataConfig
    from pipelines.evaluation import evaluate as run
    from pipelines.evaluation import recorded
    from pipelines.loading import find_bundle

    bundle = find_bundle(model)
    if data is None:
        result = recorded(bundle)
    else:
        settings = DataConfig(columns=_pairs(columns, "--column"), label_map=_pairs(labels, "--label"))
        result = run(bundle, data, settings, [name for name in only.split(",") if name])
    if as_json:
        _print_json(result)
    else:
        table = Table(
            "metric", "value", "95 % interval", title=f"{result['model']} on {result['data']['source']}"
        )
        for name, value in result["metrics"].items():
            table.add_row(name, f"{value:.2f}", "{:.2f} – {:.2f}".format(*result["intervals"][name]))
        out.print(table)


@app.command()
def predict(
    model: Model,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT…|-]", help="- reads a text a line.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict for texts, or for each line of standard input (-)."""
    if not texts:
        raise UsageError(
            'Nothing to predict. Give texts ("…" "…") or - to read one a line from standard input.'
        )
    lines = (line.rstrip("\n") for line in sys.stdin) if texts == ["-"] else iter(texts)
    from pipelines.loading import load

    predictor = load(model)
    while chunk := [line for _, line in zip(range(256), lines, strict=False)]:
        for prediction in predictor.predict(chunk):
            record = prediction.model_dump()
            if as_json:
                _print_json(record, indent=None)
            else:
                out.print(f"{record['score']:.3f}  {record['label']:<10}  {record['text']}", markup=False)


@app.command()
def compare(task: TaskName, as_json: Json = False) -> None:
    """The task's versions side by side, best first."""
    from pipelines.tracking import registry

    rows = registry.compare(task)
    if as_json:
        _print_json(rows)
        return
    table = Table("version", "run", "metric", "value", "95 % interval", "judged on", "aliases")
    for row in rows:
        interval = f"{row['low']:.2f} – {row['high']:.2f}"
        judged_on, aliases = row["evaluation_fingerprint"][:8], ", ".join(row["aliases"])
        table.add_row(
            row["version"], row["run"], row["metric"], f"{row['value']:.2f}", interval, judged_on, aliases
        )
    out.print(table)


@app.command()
def promote(
    task: TaskName,
    version: Annotated[str | None, typer.Option(help="The challenger if not given.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if it was not earned.")] = False,
) -> None:
    """Make a version champion if its primary metric lies above the champion's interval."""
    from pipelines.errors import PromotionError
    from pipelines.tracking import registry

    decision = registry.promote(task, version, force)
    if not decision.promoted:
        raise PromotionError(f"Version {decision.challenger.number} stays out: {decision.reason}.")
    out.print(
        f"Version {decision.challenger.number} is champion of {task}: {decision.reason}.", highlight=False
    )


@app.command()
def rollback(task: TaskName) -> None:
    """Give the champion's place back to the version before it."""
    from pipelines.tracking import registry

    decision = registry.rollback(task)
    out.print(f"Version {decision.challenger.number} is champion of {task} again.", highlight=False)


@app.command()
def upload(folder: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Publish a finished run that MLflow could not take at the time."""
    from pipelines.tracking.runs import publish

    published = publish(folder)
    version = f", version {published.version} of {published.model_name}" if published.version else ""
    out.print(f"Run {published.run_id}{version}.", highlight=False)


@data_app.command("check")
def data_check(
    file: Annotated[Path, typer.Argument(help="A labelled CSV, TSV, JSONL or Parquet file.")],
    task: TaskName,
    columns: Annotated[list[str] | None, typer.Option("--column", metavar="OURS=THEIRS")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="THEIRS=OURS")] = None,
) -> None:
    """Check a labelled file as fine-tuning would, and show what it holds."""
    from pipelines.config import DataConfig
    from pipelines.data.prepare import prepare
    from pipelines.tasks import create_task

    settings = DataConfig(
        source="file", files={"all": file},
        columns=_pairs(columns, "--column"), label_map=_pairs(labels, "--label"),
    )  # fmt: skip
    data = prepare(settings, create_task(_known_task(task)), seed=0)
    table = Table("split", "rows", "by label", title=f"{file} can be trained on")
    for name, counts in data.counts.items():
        table.add_row(
            name, str(len(data.splits[name])), ", ".join(f"{n} {label}" for label, n in counts.items())
        )
    out.print(table)
    for note in data.notes:
        out.print(f"note: {note}", markup=False)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default 8000.")] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option("--bundle", help="Serve this bundle, no registry.")
    ] = None,
) -> None:
    """Serve the champion of every task over HTTP."""
    from importlib import import_module

    # By name: the service builds on the pipelines, never the other way round.
    import_module("service.app").run(host=host, port=port, bundles=bundle or [])


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000) -> None:
    """Open the MLflow UI on this machine's runs and models."""
    from pipelines.tracking import store

    store.run_ui(port)


def _known_task(name: str) -> dict[str, Any]:
    from pipelines.tasks import NAMES

    if name not in NAMES:
        raise UsageError(f"No task {name!r}. There are: {', '.join(NAMES)}.")
    return {"name": name}


def _pairs(items: list[str] | None, option: str) -> dict[str, str]:
    pairs = dict(item.partition("=")[::2] for item in items or [])
    if not all(pairs.values()):
        raise UsageError(f"{option}: expected A=B, found {', '.join(items or [])}.")
    return pairs


def _finetuned_record(done: Any) -> dict[str, Any]:
    manifest = done.result.bundle.manifest
    return {
        "task": manifest.task["name"],
        "model": manifest.name,
        "bundle": str(done.result.bundle.folder),
        "run_id": done.published.run_id if done.published else None,
        "version": done.published.version if done.published else None,
        "promoted": bool(done.decision and done.decision.promoted),
        "seconds": done.result.seconds,
        "metrics": done.result.metrics,
    }


def _print_finetuned(done: Any) -> None:
    manifest, decision = done.result.bundle.manifest, done.decision
    champion = decision.champion if decision else None
    split = manifest.data["evaluation_split"]
    table = Table("metric", "value", "95 % interval", "champion's", title=f"{manifest.name}, {split} split")
    for name, numbers in manifest.metrics.items():
        theirs = f"{champion.value:.2f}" if champion and name == champion.metric else ""
        table.add_row(
            name, f"{numbers['value']:.2f}", f"{numbers['low']:.2f} – {numbers['high']:.2f}", theirs
        )
    out.print(table)
    share = 100 * manifest.trainable_parameters / manifest.parameters
    task = manifest.task["name"]
    lines = [
        f"trained    {manifest.trainable_parameters:,} of {manifest.parameters:,} parameters ({share:.1f} %) "
        f"in {done.result.seconds:.0f} s",
        f"bundle     {done.result.bundle.folder}",
    ]
    if done.published:
        lines.append(f"run        {done.published.run_id} (MLflow)")
    if decision:
        verdict = "champion" if decision.promoted else "challenger"
        lines.append(f"version    {decision.challenger.number}, {verdict}: {decision.reason}")
    model = task if decision and decision.promoted else done.result.bundle.folder
    lines += ["", f'next       aasaan predict {model} "The exam was a piece of cake"']
    lines += ["           make serve    make ui"]
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _print_json(value: Any, indent: int | None = 2) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
