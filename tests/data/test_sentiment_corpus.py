import re
from collections import Counter
from pathlib import Path

from pipelines import corpora
from pipelines.config import DataConfig
from pipelines.corpora.sentiment_promises import broken_promises, one_word_apart, uses_idiom
from pipelines.data.prepare import prepare
from pipelines.data.tables import Row, Table, read_corpus
from pipelines.tasks import create_task

CORPUS = read_corpus("sentiment")


def test_the_corpus_keeps_its_promises() -> None:
    assert broken_promises(CORPUS) == []


def test_the_card_counts_right() -> None:
    card = (Path(corpora.__file__).parent / "sentiment" / "README.md").read_text(encoding="utf-8")
    idioms = Counter(row.values["idiom"] for row in CORPUS.rows if row.values["idiom"])
    groups = {row.values["group"] for row in CORPUS.rows if row.values["group"]}
    domains = {row.values["domain"] for row in CORPUS.rows}
    facts = {
        "rows": len(CORPUS.rows),
        "domains": len(domains),
        "idioms": len(idioms),
        "rows with an idiom": idioms.total(),
        "minimal-pair groups": len(groups),
    }
    for name, count in facts.items():
        assert re.search(rf"\| {name} \| {count:,} \|", card), f"the card should say {name}: {count:,}"


def test_groups_stay_in_one_split() -> None:
    data = prepare(DataConfig(), create_task({"name": "sentiment"}), seed=13)
    homes = [set(part["group"]) for part in data.splits.values()]
    assert len(set().union(*homes)) == sum(map(len, homes))


def test_broken_promises_are_found() -> None:
    names = ("text", "label", "phenomenon", "idiom", "group", "domain")
    first = ("Good.", "fine", "idiom", "", "g", "d")
    second = ("It was a quite other thing", "neutral", "plain", "kick the bucket", "g", "d")
    rows = [
        Row(dict(zip(names, values, strict=True)), where)
        for values, where in ((first, "f:2"), (second, "f:3"))
    ]
    found = "\n".join(broken_promises(Table("t", [], rows, "")))
    for problem in (
        "f:2: label 'fine'",
        "f:2: 1 words",
        "f:2: an idiom row names none",
        "f:3: the idiom 'kick the bucket'",
        "group g: differs from f:2 in more than one word",
        "promised: at least 3000 rows, found 2",
    ):
        assert problem in found


def test_one_word_apart() -> None:
    assert one_word_apart("left before the end", "left after the end")
    assert one_word_apart("worth it", "not worth it")
    assert not one_word_apart("left before the end", "came after the end")


def test_idioms_may_inflect() -> None:
    assert uses_idiom("She spilled all the beans", "spill the beans")
    assert not uses_idiom("She ate the soup", "spill the beans")
