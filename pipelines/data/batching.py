"""Batches filled by length under a token budget, so that almost nothing is padding."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler


class TokenBudgetSampler(Sampler[list[int]]):
    """Yields lists of row indices whose padded size stays within `budget` tokens.

    Rows are sorted by length and cut into batches; rows of equal length change places and the
    batches change their order by `seed` and epoch. The cuts depend on the lengths alone, so every
    epoch has the same number of batches. A row longer than the budget is a batch of its own.
    """

    batch_size = None
    drop_last = False

    def __init__(self, lengths: Sequence[int], budget: int, seed: int = 0, shuffle: bool = True) -> None:
        self.lengths = np.asarray(lengths)
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self.cuts = _cuts(np.sort(self.lengths), budget)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.cuts)

    def __iter__(self) -> Iterator[list[int]]:
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            yield from (order[start:stop].tolist() for start, stop in self.cuts)
            return
        random = np.random.default_rng([self.seed, self.epoch])
        order = np.lexsort((random.random(len(self.lengths)), self.lengths))
        for index in random.permutation(len(self.cuts)):
            start, stop = self.cuts[index]
            yield order[start:stop].tolist()


def _cuts(sorted_lengths: np.ndarray, budget: int) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    start = 0
    for index, length in enumerate(sorted_lengths):
        if index > start and (index + 1 - start) * int(length) > budget:
            cuts.append((start, index))
            start = index
    return [*cuts, (start, len(sorted_lengths))] if len(sorted_lengths) else cuts


def pad(sequences: Sequence[Sequence[int]], value: int) -> np.ndarray:
    """``(batch, sequence)`` int64: the sequences, filled up at the end with `value`."""
    width = max(map(len, sequences))
    out = np.full((len(sequences), width), value, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        out[row, : len(sequence)] = sequence
    return out


def pad_inputs(sequences: Sequence[Sequence[int]], pad_id: int) -> dict[str, np.ndarray]:
    """``input_ids`` and ``attention_mask``, both ``(batch, sequence)`` int64."""
    ids = pad(sequences, pad_id)
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = (np.arange(ids.shape[1])[None, :] < lengths[:, None]).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask}


class Collator:
    """Rows with ``input_ids`` and an integer ``labels`` → tensors for a model."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[Mapping[str, object]]) -> dict[str, torch.Tensor]:
        arrays = pad_inputs([row["input_ids"] for row in rows], self.pad_id)  # type: ignore[misc]
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        tensors["labels"] = torch.tensor([row["labels"] for row in rows])
        return tensors
