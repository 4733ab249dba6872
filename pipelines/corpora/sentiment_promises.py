"""What the sentiment corpus promises (its card says the same), and whether it keeps it."""

import difflib
import re
from collections import Counter, defaultdict

from pipelines.data.prepare import normalise
from pipelines.data.tables import Row, Table

LABELS = ("negative", "neutral", "positive")
PHENOMENA = (
    "plain", "negation", "contrast", "comparison", "intensity",
    "hypothetical", "question", "irony", "factual", "idiom",
)  # fmt: skip
MIN_ROWS, MIN_DOMAINS, MIN_IDIOM_ROWS, MIN_IDIOMS, MIN_ROWS_PER_PHENOMENON = 3000, 10, 600, 200, 200
LENGTH = (3, 40)
IMBALANCE = 0.05

# Words of an idiom that say nothing about whether a text uses it.
_FILLERS = frozenset(
    (
        *("a", "an", "the", "one's", "one", "someone's", "someone", "it", "you", "your", "is", "be", "have"),
        *("to", "of", "in", "on", "at", "for", "and", "with", "as", "by", "or", "no", "not"),
        *("out", "up", "down", "off", "over", "get"),
    )
)


def broken_promises(corpus: Table) -> list[str]:
    """Every promise that a row, a group or the whole corpus breaks, with file and line."""
    return [*_rows(corpus.rows), *_groups(corpus.rows), *_totals(corpus.rows)]


def _rows(rows: list[Row]) -> list[str]:
    found: list[str] = []
    first: dict[str, str] = {}
    for row in rows:
        text, label = _value(row, "text"), _value(row, "label")
        words = len(text.split())
        problems = [
            label not in LABELS and f"label {label!r}",
            _value(row, "phenomenon") not in PHENOMENA and f"phenomenon {_value(row, 'phenomenon')!r}",
            not LENGTH[0] <= words <= LENGTH[1] and f"{words} words, expected {LENGTH[0]} to {LENGTH[1]}",
            text != text.strip() and "space at an end",
            _value(row, "phenomenon") == "idiom" and not _value(row, "idiom") and "an idiom row names none",
            _value(row, "idiom")
            and not uses_idiom(text, _value(row, "idiom"))
            and f"the idiom {_value(row, 'idiom')!r} is not in the text",
        ]
        same = first.setdefault(normalise(text), row.where)
        if same != row.where:
            problems.append(f"the same text as {same}")
        found += [f"{row.where}: {problem}: {text[:60]}" for problem in problems if problem]
    return found


def _groups(rows: list[Row]) -> list[str]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if _value(row, "group"):
            groups[_value(row, "group")].append(row)
    found: list[str] = []
    for name, members in groups.items():
        first, *others = members
        if not others or len({_value(row, "label") for row in members}) < 2:
            found.append(f"{first.where}: group {name} needs two rows or more with different labels")
        found += [
            f"{row.where}: group {name}: differs from {first.where} in more than one word"
            for row in others
            if not one_word_apart(_value(first, "text"), _value(row, "text"))
        ]
    return found


def _totals(rows: list[Row]) -> list[str]:
    labels = Counter(_value(row, "label") for row in rows)
    phenomena = Counter(_value(row, "phenomenon") for row in rows)
    idioms = Counter(_value(row, "idiom") for row in rows if _value(row, "idiom"))
    domains = {_value(row, "domain") for row in rows}
    share = len(rows) / len(LABELS)
    promises = {
        f"at least {MIN_ROWS} rows, found {len(rows)}": len(rows) >= MIN_ROWS,
        f"at least {MIN_DOMAINS} domains, found {len(domains)}": len(domains) >= MIN_DOMAINS,
        f"labels within 5 % of balance, found {dict(labels)}": all(
            abs(labels[label] - share) <= IMBALANCE * share for label in LABELS
        ),
        f"{MIN_ROWS_PER_PHENOMENON} rows a phenomenon, found {dict(phenomena)}": all(
            phenomena[name] >= MIN_ROWS_PER_PHENOMENON for name in PHENOMENA
        ),
        f"{MIN_IDIOM_ROWS} rows with an idiom, found {idioms.total()}": idioms.total() >= MIN_IDIOM_ROWS,
        f"{MIN_IDIOMS} idioms, found {len(idioms)}": len(idioms) >= MIN_IDIOMS,
    }
    return [f"promised: {promise}" for promise, kept in promises.items() if not kept]


def uses_idiom(text: str, idiom: str) -> bool:
    """Whether at least half of the idiom's telling words begin like words of the text.

    Three letters are compared, so that inflected forms ("spilled the beans") count.
    """
    words = _words(text)
    telling = [word for word in _words(idiom) if word not in _FILLERS] or _words(idiom)
    hits = sum(any(word[:3] == other[:3] for other in words) for word in telling)
    return 2 * hits >= len(telling)


def one_word_apart(one: str, other: str) -> bool:
    """Whether two texts differ by one word that is replaced, added or left out."""
    matcher = difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False)
    edits = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return len(edits) == 1 and max(edits[0][2] - edits[0][1], edits[0][4] - edits[0][3]) == 1


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _value(row: Row, column: str) -> str:
    return row.values.get(column) or ""
