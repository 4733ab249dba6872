from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import DataConfig, SplitFractions
from pipelines.data.prepare import fingerprint, prepare, split_by_group
from pipelines.errors import DataError
from pipelines.tasks import create_task
from tests.tiny import write_reviews

TASK = create_task({"name": "sentiment", "labels": ["negative", "positive"]})


def file_config(path: Path, **more: object) -> DataConfig:
    return DataConfig(source="file", files={"all": path}, **more)  # type: ignore[arg-type]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


def good_lines(n: int = 40, start: int = 0) -> list[str]:
    return [f"text {i} of many,{'positive' if i % 2 else 'negative'}" for i in range(start, start + n)]


def test_splits_have_their_shares_and_every_label(tmp_path: Path) -> None:
    data = prepare(file_config(write_reviews(tmp_path / "r.csv", 200)), TASK, seed=1)
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 160,
        "validation": 20,
        "test": 20,
    }
    assert data.counts["test"] == {"negative": 10, "positive": 10}
    assert data.evaluation_split == "test"


def test_same_seed_same_splits_and_fingerprint(tmp_path: Path) -> None:
    config = file_config(write_reviews(tmp_path / "r.csv"))
    one, two, other = (prepare(config, TASK, seed) for seed in (1, 1, 2))
    assert one.splits["test"]["text"] == two.splits["test"]["text"]
    assert one.fingerprint == two.fingerprint
    assert one.evaluation_fingerprint != other.evaluation_fingerprint


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["a", "b"])), min_size=1, max_size=80),
    st.integers(0, 1000),
)
def test_groups_never_straddle_splits(rows: list[tuple[int, str]], seed: int) -> None:
    examples = [
        {"text": f"text {i}", "label": label, "group": str(group), "where": ""}
        for i, (group, label) in enumerate(rows)
    ]
    parts = split_by_group(examples, SplitFractions(), seed)
    homes = [{example["group"] for example in part} for part in parts.values()]
    assert sum(map(len, parts.values())) == len(rows)
    assert len(set().union(*homes)) == sum(map(len, homes))


def test_the_same_text_in_two_groups_joins_them() -> None:
    examples = [
        {"text": text, "label": "a", "group": group, "where": ""}
        for text, group in [("One", "g1"), ("one ", "g2"), ("two", "g2"), ("TWO", "g3")]
    ]
    parts = split_by_group(examples, SplitFractions(), seed=0)
    assert sorted(len(part) for part in parts.values()) == [0, 0, 4]


def test_fingerprint_ignores_order_and_sees_labels() -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert fingerprint({"t": rows}) == fingerprint({"t": rows[::-1]})
    assert fingerprint({"t": rows}) != fingerprint({"t": [rows[0], {"text": "b", "label": "x"}]})


def test_missing_column_lists_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("sentence,stars\nhello,5\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'text' and no column 'label'") as caught:
        prepare(file_config(path), TASK, seed=0)
    assert "The columns there: sentence, stars." in str(caught.value)


def test_all_bad_rows_are_named_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", *good_lines(), "   ,positive", "no label here,", "odd,mixed")
    with pytest.raises(DataError) as caught:
        prepare(file_config(path), TASK, seed=0)
    message = str(caught.value)
    assert "3 of 43 rows" in message
    assert f"{path}:42: empty text" in message
    assert f"{path}:43: no label for 'no label here'" in message
    assert f"{path}:44: unknown label 'mixed'" in message


def test_labels_and_columns_can_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rows = "".join(f"text {i},{i % 2}\n" for i in range(40))
    path.write_text("sentence,stars\n" + rows, encoding="utf-8")
    config = file_config(
        path, columns={"text": "sentence", "label": "stars"}, label_map={"0": "negative", "1": "positive"}
    )
    assert Counter(prepare(config, TASK, seed=0).splits["train"]["label"]) == {"negative": 16, "positive": 16}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["only one,positive"], "label 'positive' has 1 rows, at least 8 are needed"),
        ([f"text {i},positive" for i in range(20)], "only one label, 'positive'"),
        ([*good_lines(), *(f"x{i},neutral" for i in range(3))], "label 'neutral' has 3 rows"),
    ],
)
def test_too_few_rows(lines: list[str], expected: str, tmp_path: Path) -> None:
    task = create_task({"name": "sentiment"})
    with pytest.raises(DataError) as caught:
        prepare(file_config(write(tmp_path / "r.csv", *lines)), task, seed=0)
    assert expected in str(caught.value)


def test_header_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a header but no rows"):
        prepare(file_config(write(tmp_path / "r.csv")), TASK, seed=0)


def given_splits(tmp_path: Path, train: list[str], validation: list[str], **more: object) -> DataConfig:
    files = {
        "train": write(tmp_path / "train.csv", *train),
        "validation": write(tmp_path / "validation.csv", *validation),
    }
    return DataConfig(source="file", files=files, **more)  # type: ignore[arg-type]


def test_label_in_one_split_only(tmp_path: Path) -> None:
    config = given_splits(tmp_path, good_lines(), [f"v {i},positive" for i in range(9)])
    with pytest.raises(DataError, match="label 'negative' is in train only, not in validation"):
        prepare(config, TASK, seed=0)


def test_text_in_two_splits_is_refused_with_both_lines(tmp_path: Path) -> None:
    config = given_splits(tmp_path, good_lines(), [*good_lines(10, start=100), "Text 3 of  MANY,positive"])
    with pytest.raises(DataError) as caught:
        prepare(config, TASK, seed=0)
    assert f"{tmp_path / 'train.csv'}:5 = {tmp_path / 'validation.csv'}:12" in str(caught.value)


def test_or_dropped_from_the_earlier_split_and_counted(tmp_path: Path) -> None:
    lines = [*good_lines(10, start=100), "text 3 of many,positive"]
    data = prepare(given_splits(tmp_path, good_lines(), lines, duplicates="drop"), TASK, seed=0)
    assert len(data.splits["train"]) == 39
    assert data.evaluation_split == "validation"
    assert any("dropped 1 rows of train" in note for note in data.notes)


def test_repeated_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", *good_lines(), "text 1 of many,positive")
    data = prepare(file_config(path), TASK, seed=0)
    assert sum(len(rows) for rows in data.splits.values()) == 40
    assert data.notes == ["dropped 1 rows that repeat an earlier row's text and label"]
