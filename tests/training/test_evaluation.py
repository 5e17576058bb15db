"""The final numbers agree with their definitions."""

import numpy as np
import pytest

from kerascale.training import evaluation


def test_classification_report_on_a_known_confusion_matrix():
    # 3 classes; the last one is never predicted.
    confusion = np.array([[5, 1, 0], [2, 8, 0], [1, 3, 0]])
    report = evaluation.classification_report(confusion, ("a", "b", "c"))
    assert report["a"] == pytest.approx(
        {"precision": 5 / 8, "recall": 5 / 6, "f1": 10 / 14, "examples": 6}
    )
    assert report["b"] == pytest.approx(
        {"precision": 8 / 12, "recall": 8 / 10, "f1": 16 / 22, "examples": 10}
    )
    assert report["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 4}
