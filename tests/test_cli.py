"""The command line as people call it: exit codes, streams, messages."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.cli import main
from tests.conftest import ROOT, FinishedRun
from tests.tiny import write_reviews


@dataclass
class Done:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def aasaan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the ``aasaan`` command through its entry point, in the repository's folder."""

    def run(home: Path, *arguments: str, stdin: str = "") -> Done:
        monkeypatch.setenv("AASAAN_HOME", str(home))
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["aasaan", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_predict_json_prints_one_object_a_text(aasaan: Command, finished: FinishedRun) -> None:
    done = aasaan(finished.home, "predict", "sentiment", "A piece of cake", "No.", "--json")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["text"] for record in records] == ["A piece of cake", "No."]
    assert set(records[0]) == {"text", "label", "score", "scores"}
    assert (
        records[0]["scores"][records[0]["label"]] == records[0]["score"] == max(records[0]["scores"].values())
    )


def test_predict_reads_a_text_a_line(aasaan: Command, finished: FinishedRun) -> None:
    done = aasaan(
        finished.home, "predict", str(finished.bundle), "-", "--json", stdin="one text\nanother [b]text\n"
    )
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["one text", "another [b]text"]


def test_evaluate_json(aasaan: Command, finished: FinishedRun, tmp_path: Path) -> None:
    reviews = write_reviews(tmp_path / "reviews.csv", 40)
    command = [
        "evaluate",
        str(finished.bundle),
        "--data",
        str(reviews),
        "--only",
        "negative,positive",
        "--json",
    ]
    done = aasaan(finished.home, *command)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["task"], result["data"]["rows"]) == ("sentiment", 40)
    assert set(result["metrics"]) >= {"accuracy", "macro_f1", "ece", "f1/positive"}
    assert "f1/neutral" not in result["metrics"]


def test_evaluate_without_data_gives_the_recorded_metrics(aasaan: Command, finished: FinishedRun) -> None:
    result = json.loads(aasaan(finished.home, "evaluate", "sentiment", "--json").stdout)
    manifest = json.loads((finished.bundle / "bundle.json").read_text())
    assert result["metrics"]["macro_f1"] == manifest["metrics"]["macro_f1"]["value"]


def test_compare(aasaan: Command, finished: FinishedRun) -> None:
    rows = json.loads(aasaan(finished.home, "compare", "--task", "sentiment", "--json").stdout)
    assert [(row["version"], row["aliases"]) for row in rows] == [("1", ["challenger", "champion"])]


def test_data_check(aasaan: Command, home: Path, tmp_path: Path) -> None:
    reviews = write_reviews(tmp_path / "reviews.csv")
    done = aasaan(home, "data", "check", str(reviews), "--task", "sentiment")
    assert done.returncode == 0, done.stderr
    assert "48 negative, 48 positive" in done.stdout
    broken = tmp_path / "broken.csv"
    broken.write_text("text,label\nhello,happy\n")
    done = aasaan(home, "data", "check", str(broken), "--task", "sentiment")
    assert done.returncode == 1
    assert "broken.csv:2: unknown label 'happy'" in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["predict", "nosuch", "text"], 2, "No model 'nosuch'. Expected a task (sentiment)"),
        (["predict", "sentiment"], 2, "Nothing to predict"),
        (["finetune", "configs/nosuch.yaml"], 1, "No config file configs/nosuch.yaml"),
        (["data", "check", "x.csv", "--task", "poetry"], 2, "No task 'poetry'. There are: sentiment."),
        (["promote", "--task", "sentiment"], 1, "aasaan-sentiment has no challenger"),
        (["rollback", "--task", "sentiment"], 1, "nothing to roll back to"),
        (["compare", "--task", "sentiment"], 1, "has no versions yet"),
        (["upload", "nosuch"], 2, "nosuch is not a finished run"),
        (["nosuch"], 2, "No such command"),
        (["predict", "sentiment", "text", "--jsn"], 2, "No such option"),
    ],
)
def test_wrong_use_gets_a_message_and_a_code(
    aasaan: Command, empty_store: Path, arguments: list[str], code: int, expected: str
) -> None:
    done = aasaan(empty_store, *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert expected in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_make_names_the_tasks() -> None:
    done = subprocess.run(
        ["make", "finetune", "TASK=poetry"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "TASK='poetry' is not a task. Expected one of: sentiment." in done.stderr
    lines = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("finetune", "serve", "ui", "test", "check"):
        assert f"make {target}" in lines


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, pipelines.cli, pipelines.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
