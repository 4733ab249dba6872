"""Our own labelled data, as package data. Each corpus is a folder of TSV files and a card."""

from pathlib import Path

from pipelines.errors import DataError

_ROOT = Path(__file__).parent


def files(name: str) -> list[Path]:
    """The TSV files of the packaged corpus `name`, sorted. Raises `DataError` for an unknown one."""
    found = sorted((_ROOT / name).glob("*.tsv"))
    if not found:
        known = sorted(path.name for path in _ROOT.iterdir() if any(path.glob("*.tsv")))
        raise DataError(f"No packaged corpus {name!r}. There are: {', '.join(known)}.")
    return found
