import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.data import tables
from pipelines.data.tables import read_corpus, read_file
from pipelines.errors import DataError

ROWS = [("It's fine, really", "positive"), ('He said "no"', "negative")]


def write(path: Path) -> Path:
    match path.suffix:
        case ".csv":
            path.write_text('text,label\n"It\'s fine, really",positive\n"He said ""no""",negative\n')
        case ".tsv":
            path.write_text('text\tlabel\nIt\'s fine, really\tpositive\nHe said "no"\tnegative\n')
        case ".jsonl":
            path.write_text(
                '{"text": "It\'s fine, really", "label": "positive"}\n\n'
                '{"text": "He said \\"no\\"", "label": "negative"}\n'
            )
        case ".parquet":
            columns = {"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]}
            pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("ending", tables.FORMATS)
def test_every_format_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    table = read_file(write(tmp_path / f"rows{ending}"))
    assert [(row.values["text"], row.values["label"]) for row in table.rows] == ROWS
    assert table.columns == ["text", "label"]


def test_rows_know_their_line_behind_a_quoted_newline(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"two\nlines",positive\nnext,negative\n')
    assert [row.where for row in read_file(path).rows] == [f"{path}:2", f"{path}:4"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.tsv", b"\n\n", "is empty"),
        ("binary.csv", bytes(range(256)), "offset 128 is not UTF-8"),
        (
            "latin.csv",
            "text,label\ncaf\xe9,positive\n".encode("latin-1"),
            "binary.csv|:2: byte 0xe9 at offset 14",
        ),
        ("short.csv", b"text,label\nhello\n", ":2: 1 columns, expected 2 (text, label)"),
        ("bad.jsonl", b'{"text": "a"}\n{"text"\n', ":2:8: not valid JSON"),
        ("list.jsonl", b"[1]\n", ":1: expected an object, found list"),
        ("not.parquet", b"text,label\n", "not a Parquet file"),
        ("rows.xlsx", b"x", "expected a file ending in .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_unusable_files_are_named_with_the_reason(
    name: str, content: bytes, expected: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert expected.split("|")[-1] in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(DataError, match=r"nosuch\.csv cannot be read: No such file"):
        read_file(Path("nosuch.csv"))


def test_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "rows.csv")
    read_bytes = Path.read_bytes

    def read_and_append(self: Path) -> bytes:
        data = read_bytes(self)
        with self.open("a") as file:
            file.write("late,positive\n")
        os.utime(self, ns=(1, 1))
        return data

    monkeypatch.setattr(Path, "read_bytes", read_and_append)
    with pytest.raises(DataError, match="changed while it was read"):
        read_file(path)


def test_unknown_corpus_lists_the_packaged_ones() -> None:
    with pytest.raises(DataError, match="There are: sentiment"):
        read_corpus("poems")
