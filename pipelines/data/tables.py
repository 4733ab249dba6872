"""Raw labelled text: from a packaged corpus, a local file or the hub into tables of strings."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines import corpora
from pipelines.config import DataConfig
from pipelines.errors import DataError

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Row:
    """One row as it was read; `where` is ``file:line`` for messages."""

    values: dict[str, str | None]
    where: str


@dataclass(frozen=True)
class Table:
    """Rows with the columns they share. `source` is a path or id, `digest` its sha256."""

    source: str
    columns: list[str]
    rows: list[Row]
    digest: str


def read_tables(config: DataConfig, default_corpus: str) -> dict[str, Table]:
    """The tables of a data source by split name; the key is ``all`` for data that comes unsplit."""
    if config.source == "packaged":
        return {"all": read_corpus(config.name or default_corpus)}
    if config.source == "file":
        return {split: read_file(path) for split, path in config.files.items()}
    return {split: _read_hub(config, name) for split, name in config.splits.items()}


def read_corpus(name: str) -> Table:
    """A packaged corpus as one table; the file's stem becomes the column ``domain``."""
    tables = [(path, read_file(path)) for path in corpora.files(name)]
    rows = [
        Row({**row.values, "domain": path.stem}, row.where.replace(str(path), path.name))
        for path, table in tables
        for row in table.rows
    ]
    digest = hashlib.sha256("".join(table.digest for _, table in tables).encode()).hexdigest()
    return Table(f"packaged:{name}", [*tables[0][1].columns, "domain"], rows, digest)


def read_file(path: Path) -> Table:
    """A CSV, TSV (no quoting), JSONL or Parquet file.

    Raises `DataError` for a file that is missing, empty, of another kind, not UTF-8 (with the
    offset), malformed (with the line) or that changed while it was read.
    """
    data = _read_stable(path)
    if not data.strip():
        raise DataError(f"{path} is empty. Expected a header row and labelled rows.")
    if path.suffix == ".parquet":
        columns, numbered = _parse_parquet(path, data)
    else:
        text = _decode(path, data)
        columns, numbered = _parse_jsonl(path, text) if path.suffix == ".jsonl" else _parse_csv(path, text)
    rows = [Row(values, f"{path}:{line}") for line, values in numbered]
    return Table(str(path), columns, rows, hashlib.sha256(data).hexdigest())


def _read_stable(path: Path) -> bytes:
    if path.suffix not in FORMATS:
        raise DataError(f"{path}: expected a file ending in {', '.join(FORMATS)}.")
    try:
        before = path.stat()
        data = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check data.files.") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(f"{path} changed while it was read. Let its writer finish, then try again.")
    return data


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8. "
            f"Save the file as UTF-8 (e.g. iconv -f latin1 -t utf-8)."
        ) from None


def _parse_csv(path: Path, text: str) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    tsv = path.suffix == ".tsv"
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if tsv else ",",
        quoting=csv.QUOTE_NONE if tsv else csv.QUOTE_MINIMAL,
        strict=True,
    )
    csv.field_size_limit(2**31 - 1)
    rows: list[tuple[int, dict[str, str | None]]] = []
    try:
        header = next(reader)
        line = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise DataError(
                    f"{path}:{line}: {len(cells)} columns, expected {len(header)} "
                    f"({', '.join(header)})." + ("" if tsv else " Quote texts that contain commas.")
                )
            if cells:
                rows.append((line, dict(zip(header, cells, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not valid {path.suffix[1:].upper()}: {error}.") from None
    return header, rows


def _parse_jsonl(path: Path, text: str) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    columns: dict[str, None] = {}
    rows: list[tuple[int, dict[str, str | None]]] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{line}:{error.colno}: not valid JSON: {error.msg}.") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}:{line}: expected an object, found {type(record).__name__}.")
        columns.update(dict.fromkeys(record))
        rows.append((line, {key: _as_text(value) for key, value in record.items()}))
    return list(columns), rows


def _parse_parquet(path: Path, data: bytes) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file: {error}.") from None
    records = table.to_pylist()
    return table.column_names, [
        (number, {key: _as_text(value) for key, value in record.items()})
        for number, record in enumerate(records, start=1)
    ]


def _read_hub(config: DataConfig, split: str) -> Table:
    import datasets

    dataset = datasets.load_dataset(config.name, split=split, revision=config.revision)
    decoders = {
        name: feature.int2str
        for name, feature in dataset.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }

    def strings() -> Iterator[dict[str, str | None]]:
        for record in dataset:
            yield {
                key: decoders[key](value) if key in decoders and value >= 0 else _as_text(value)
                for key, value in record.items()
            }

    source = f"hub:{config.name}@{config.revision}"
    rows = [Row(values, f"{source}/{split}:{number}") for number, values in enumerate(strings(), 1)]
    return Table(source, dataset.column_names, rows, str(config.revision))


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)
