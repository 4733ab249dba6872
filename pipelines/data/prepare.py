"""From tables to a validated `DatasetDict`: what a run trains and is judged on."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from datasets import Dataset, DatasetDict

from pipelines.config import DataConfig, SplitFractions
from pipelines.data.tables import Table, read_tables
from pipelines.errors import DataError, problems
from pipelines.tasks.task import Example, Task

SPLITS = ("train", "validation", "test")
MIN_ROWS_PER_LABEL = 8


@dataclass(frozen=True)
class Prepared:
    """Validated examples.

    `splits` has train, validation and, unless the data came without one, test.
    `evaluation_split` is the one that final metrics are computed on: test, else validation.
    `fingerprint` identifies all examples and their splits, `evaluation_fingerprint` those of the
    evaluation split: runs are comparable where it is equal. `notes` are remarks for the user.
    """

    splits: DatasetDict
    evaluation_split: str
    source: str
    digest: str
    fingerprint: str
    evaluation_fingerprint: str
    counts: dict[str, dict[str, int]]
    notes: list[str] = field(default_factory=list)


def prepare(config: DataConfig, task: Task, seed: int) -> Prepared:
    """Reads, validates and splits the data of a run. Raises `DataError` before anything trains."""
    tables = read_tables(config, task.corpus)
    parts = {name: read_examples(table, task, config) for name, table in tables.items()}
    notes: list[str] = []
    if "all" in parts:
        examples, dropped = _without_repeats(parts["all"])
        if dropped:
            notes.append(f"dropped {dropped} rows that repeat an earlier row's text and label")
        parts = split_by_group(examples, config.fractions, seed)
    else:
        parts = {name: parts[name] for name in SPLITS if name in parts}
        notes += _across_splits(parts, config.duplicates)
    _check_labels(parts, tables)
    evaluation_split = "test" if "test" in parts else "validation"
    if evaluation_split == "validation":
        notes.append("there is no test split: final metrics are those of the validation split")
    return Prepared(
        splits=DatasetDict({name: Dataset.from_list(rows) for name, rows in parts.items()}),
        evaluation_split=evaluation_split,
        source=", ".join(dict.fromkeys(table.source for table in tables.values())),
        digest=_sha256([table.digest for table in tables.values()]),
        fingerprint=fingerprint({name: parts[name] for name in parts}),
        evaluation_fingerprint=fingerprint({"evaluation": parts[evaluation_split]}),
        counts={
            name: dict(sorted(Counter(r["label"] for r in rows).items())) for name, rows in parts.items()
        },
        notes=notes,
    )


def read_examples(table: Table, task: Task, config: DataConfig | None = None) -> list[Example]:
    """The rows of `table` as the task's examples.

    Raises one `DataError` that lists missing columns, or every empty text and every missing or
    unknown label with its file and line.
    """
    config = config or DataConfig()
    names = {column: config.columns.get(column, column) for column in task.columns}
    missing = [name for column, name in names.items() if task.columns[column] and name not in table.columns]
    if missing:
        raise DataError(
            f"{table.source}: no column {' and no column '.join(map(repr, missing))}. "
            f"The columns there: {', '.join(table.columns) or 'none'}. "
            "Name the right ones in data.columns, e.g. --set data.columns.text=sentence."
        )
    if not table.rows:
        raise DataError(f"{table.source}: a header but no rows. Expected labelled rows.")
    examples: list[Example] = []
    found: list[str] = []
    for row in table.rows:
        values = {column: row.values.get(name) or "" for column, name in names.items()}
        values["label"] = config.label_map.get(values["label"], values["label"])
        problem = task.problem(values)
        if problem:
            found.append(f"{row.where}: {problem}")
        examples.append(
            {**values, "group": values.get("group") or normalise(values["text"]), "where": row.where}
        )
    if found:
        raise DataError(
            problems(
                f"{table.source}: {len(found)} of {len(table.rows)} rows cannot be used:",
                found,
                f"Labels must be one of {', '.join(task.labels)}; data.label_map renames others.",
            )
        )
    return examples


def split_by_group(examples: list[Example], fractions: SplitFractions, seed: int) -> dict[str, list[Example]]:
    """Splits `examples` so that groups stay whole and labels keep their shares.

    Groups are ordered by a hash of the seed and their name, so that adding rows elsewhere does not
    reshuffle them; each goes to the split that is furthest below its share.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in _joined_by_text(examples):
        groups[example["group"]].append(example)

    def order(name: str) -> tuple[str, str]:
        labels = " ".join(sorted(example["label"] for example in groups[name]))
        return labels, hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()

    shares = {name: getattr(fractions, name) for name in SPLITS}
    parts: dict[str, list[Example]] = {name: [] for name in SPLITS}
    seen = 0
    for name in sorted(groups, key=order):
        seen += len(groups[name])
        target = max(SPLITS, key=lambda split: shares[split] * seen - len(parts[split]))
        parts[target] += groups[name]
    return parts


def fingerprint(parts: dict[str, list[Example]]) -> str:
    """sha256 over split, text and label of every example, whatever their order."""
    return _sha256(
        sorted(json.dumps([name, row["text"], row["label"]]) for name in parts for row in parts[name])
    )


def normalise(text: str) -> str:
    """The form in which texts count as the same: lower case, white space folded."""
    return " ".join(text.lower().split())


def _joined_by_text(examples: list[Example]) -> list[Example]:
    """Gives examples with the same text the group of the first of them."""
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for example in examples:
        group = renamed.get(example["group"], example["group"])
        known = first.setdefault(normalise(example["text"]), group)
        if known != group:
            renamed[group] = known
    return [{**example, "group": _root(example["group"], renamed)} for example in examples]


def _root(group: str, renamed: dict[str, str]) -> str:
    while group in renamed:
        group = renamed[group]
    return group


def _without_repeats(examples: list[Example]) -> tuple[list[Example], int]:
    unique = {(normalise(example["text"]), example["label"]): example for example in reversed(examples)}
    kept = [
        example
        for example in examples
        if unique.get((normalise(example["text"]), example["label"])) is example
    ]
    return kept, len(examples) - len(kept)


def _across_splits(parts: dict[str, list[Example]], policy: str) -> list[str]:
    """Refuses, or removes in place from the earlier split, texts that are in two splits."""
    notes: list[str] = []
    found: list[str] = []
    names = list(parts)
    for index, name in enumerate(names):
        later = {
            normalise(example["text"]): example["where"]
            for other in names[index + 1 :]
            for example in parts[other]
        }
        shared = [example for example in parts[name] if normalise(example["text"]) in later]
        if policy == "drop" and shared:
            parts[name] = [example for example in parts[name] if normalise(example["text"]) not in later]
            notes.append(f"dropped {len(shared)} rows of {name} whose text is in a later split too")
        found += [f"{row['where']} = {later[normalise(row['text'])]}: {row['text'][:60]!r}" for row in shared]
    if found and policy == "error":
        raise DataError(
            problems(
                f"{len(found)} texts are in more than one split, so scores would be too good:",
                found,
                "Remove them, or set data.duplicates: drop to leave them out of the earlier split.",
            )
        )
    return notes


def _check_labels(parts: dict[str, list[Example]], tables: dict[str, Table]) -> None:
    counts = {name: Counter(example["label"] for example in rows) for name, rows in parts.items()}
    labels = sorted(set().union(*counts.values()))
    total = sum(counts.values(), Counter[str]())
    sources = ", ".join(dict.fromkeys(table.source for table in tables.values()))
    found = [
        f"label {label!r} has {total[label]} rows, at least {MIN_ROWS_PER_LABEL} are needed"
        for label in labels
        if total[label] < MIN_ROWS_PER_LABEL
    ]
    if len(labels) < 2:
        found.append(f"only one label, {labels[0]!r}: there is nothing to tell apart")
    found += [
        f"label {label!r} is in {_names(counts, label)} only, not in {name}"
        for name in parts
        for label in labels
        if not counts[name][label] and total[label] >= MIN_ROWS_PER_LABEL
    ]
    if found:
        raise DataError(
            problems(f"{sources}: too little to train on and judge:", found, "Add rows for these labels.")
        )


def _names(counts: dict[str, Counter[str]], label: str) -> str:
    return " and ".join(name for name in counts if counts[name][label])


def _sha256(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
