"""What is left out of the comparison is written down, true and needed."""

import cases
import left_out
import numpy as np
import pytest

# One case for each entry of the list, by pattern.
SHOWN_BY = {
    "*before_norm/bias": "batch_normalization",
    "*/key/bias": "attention",
    "*/query_key_value/bias": "recipe_transformer",
    "*project_BN/beta": "mobilenet_v2",
    "*expand_BN/moving_mean": "mobilenet_v2",
    "*Conv_1_bn/moving_mean": "mobilenet_v2",
}


def _marks(name):
    # It takes as long as ten of the others.
    slow = [pytest.mark.slow] if name == "mobilenet_v2" else []
    return [pytest.mark.runs("one", "float64", name), *slow]


CELLS = [
    pytest.param(
        entry,
        SHOWN_BY[entry.pattern],
        id=entry.pattern,
        marks=_marks(SHOWN_BY[entry.pattern]),
    )
    for entry in left_out.LEFT_OUT
]


@pytest.mark.parametrize(("entry", "name"), CELLS)
def test_is_zero_on_one_device(entry, name, results):
    found = results.arrays("one", "float64", name)
    kind = {"gradient": "gradient/", "value": "weights/"}[entry.zero]
    values = {k: np.abs(v).max() for k, v in found.items() if k.startswith(kind)}
    zeros = {
        k: np.abs(entry.split(found[k])[0]).max()
        for k in values
        if left_out.find(k) is entry
    }
    assert zeros, f"no variable of {name} has the name {entry.pattern}"
    largest = max(values.values())
    assert all(v < 1e-12 * largest for v in zeros.values()), zeros
    # And something else is not zero, or the test would say nothing.
    assert largest > 1e-3


@pytest.mark.parametrize(("entry", "name"), CELLS)
def test_predictions_of_such_a_model_are_compared(entry, name, results):
    found = results.arrays("one", "float64", name)
    assert any(key.startswith("predictions/") for key in found)


def test_list_is_short():
    """Each entry has a case that shows it: an unused one would hide others."""
    assert set(SHOWN_BY) == {entry.pattern for entry in left_out.LEFT_OUT}
    assert set(SHOWN_BY.values()) <= set(cases.CASES)
