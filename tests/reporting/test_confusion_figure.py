"""The figure of the confusion matrix has each count at its own place."""

import types

from kerascale.reporting import figures
from kerascale.reporting.drawing import PAPER


def test_counts_stand_in_the_row_of_the_true_class():
    evaluation = {
        "confusion_matrix": [[7, 2], [0, 5]],
        "per_class": {"cat": {}, "dog": {}},
    }
    run = types.SimpleNamespace(evaluation=evaluation)
    (axes,) = figures.confusion_of(run).draw(PAPER).axes
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    # (x, y): the second column of the first row; y grows downwards.
    assert counts == {(0, 0): "7", (1, 0): "2", (1, 1): "5"}
    assert axes.get_ylim() == (1.5, -0.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
