"""Texts to token ids, with the `tokenizers` library alone: light enough for serving, and the same
in training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """A text as token ids. `truncated` says that its end was cut off at the length limit."""

    ids: list[int]
    truncated: bool


class TextTokenizer:
    """A tokenizer with its padding id and a length limit of `max_length` tokens."""

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.pad_id = int((tokenizer.padding or {}).get("pad_id", 0))
        # Batches are padded by us, to their own length; the file that is saved keeps the id.
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.no_padding()
        self._plain.enable_truncation(max_length)

    @classmethod
    def from_file(cls, path: Path, max_length: int) -> "TextTokenizer":
        return cls(Tokenizer.from_file(str(path)), max_length)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        return [
            Encoded(encoding.ids, bool(encoding.overflowing))
            for encoding in self._plain.encode_batch(list(texts))
        ]

    def save(self, path: Path) -> None:
        self.tokenizer.save(str(path))
