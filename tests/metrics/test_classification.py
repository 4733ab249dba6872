import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from pipelines.metrics.classification import (
    calibration_error,
    classification_metrics,
    confusion_matrix,
    from_confusion,
    reliability,
    share_correct,
)

LABELS = ["negative", "neutral", "positive"]


def test_by_hand() -> None:
    # gold n n n p p, predicted n n p p n: 3 of 5 right; f1(n) = 2/3, f1(p) = 1/2.
    confusion = confusion_matrix(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0]), 2)
    np.testing.assert_array_equal(confusion, [[2, 1], [1, 1]])
    metrics = from_confusion(confusion.astype(float), ["n", "p"])
    assert metrics["accuracy"] == pytest.approx(60)
    assert metrics["macro_f1"] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert metrics["recall/n"] == pytest.approx(200 / 3)


def test_same_as_scikit_learn() -> None:
    random = np.random.default_rng(1)
    gold = random.integers(0, 3, 200)
    probabilities = random.dirichlet([1, 1, 1], 200)
    predicted = probabilities.argmax(axis=1)
    metrics = classification_metrics(gold, probabilities, LABELS, 100, 0.95, seed=1)
    assert metrics["accuracy"].value == pytest.approx(100 * accuracy_score(gold, predicted))
    assert metrics["macro_f1"].value == pytest.approx(100 * f1_score(gold, predicted, average="macro"))
    by_label = precision_recall_fscore_support(gold, predicted)
    for index, label in enumerate(LABELS):
        for name, values in zip(("precision", "recall", "f1"), by_label, strict=False):
            assert metrics[f"{name}/{label}"].value == pytest.approx(100 * values[index])


def test_a_label_that_is_never_predicted_counts_as_zero() -> None:
    metrics = from_confusion(np.array([[3.0, 0.0], [2.0, 0.0]]), ["a", "b"])
    assert metrics["precision/b"] == metrics["recall/b"] == metrics["f1/b"] == 0


def test_calibration_error_by_hand() -> None:
    # Two texts at 0.9 of which one is right, two at 0.6 that are both right: (|1-1.8| + |2-1.2|) / 4.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    bins = reliability(np.array([0, 1, 0, 0]), probabilities)
    assert bins[:, 0].sum() == 4
    assert calibration_error(bins) == pytest.approx(100 * (0.8 + 0.8) / 4)


def test_intervals_hold_the_value_and_shrink_with_more_examples() -> None:
    def interval(n: int) -> tuple[float, float, float]:
        gold = np.zeros(n, dtype=int)
        probabilities = np.tile([[0.8, 0.2]], (n, 1))
        probabilities[: n // 4] = [0.3, 0.7]
        found = classification_metrics(gold, probabilities, ["a", "b"], 1000, 0.95, seed=0)["accuracy"]
        return found.value, found.low, found.high

    value, low, high = interval(400)
    assert value == 75
    # Normal approximation: 75 ± 1.96 · sqrt(0.75 · 0.25 / 400) = 75 ± 4.2.
    assert low == pytest.approx(70.8, abs=0.8)
    assert high == pytest.approx(79.2, abs=0.8)
    few = interval(40)
    assert few[2] - few[1] > 2 * (high - low)


def test_share_correct() -> None:
    found = share_correct(np.array([True] * 30 + [False] * 10), 1000, 0.95, seed=0)
    assert found.value == 75
    assert found.low < 75 < found.high
