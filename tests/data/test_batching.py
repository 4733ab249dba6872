import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.batching import TokenBudgetSampler, pad_inputs

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 128), st.integers(0, 5))
def test_every_row_once_within_the_budget(lengths: list[int], budget: int, epoch: int) -> None:
    sampler = TokenBudgetSampler(lengths, budget, seed=3)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    assert all(
        len(batch) * max(lengths[row] for row in batch) <= budget or len(batch) == 1 for batch in batches
    )


def test_epochs_differ_and_repeat_by_seed() -> None:
    lengths = [5, 6] * 50

    def epoch(number: int, seed: int = 1) -> list[list[int]]:
        sampler = TokenBudgetSampler(lengths, 40, seed=seed)
        sampler.set_epoch(number)
        return list(sampler)

    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=2)


def test_padding_and_mask() -> None:
    arrays = pad_inputs([[5, 6, 7], [8]], pad_id=1)
    np.testing.assert_array_equal(arrays["input_ids"], [[5, 6, 7], [8, 1, 1]])
    np.testing.assert_array_equal(arrays["attention_mask"], [[1, 1, 1], [1, 0, 0]])
