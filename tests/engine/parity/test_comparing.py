"""The measure of the matrix can fail."""

import comparing
import numpy as np
import pytest


def _compare(found, precision="float64", name="weights/kernel"):
    reference = {name: np.array([1.0, -4.0, 0.0])}
    return comparing.compare(reference, {name: np.array(found)}, precision, 65)


@pytest.mark.parametrize(
    ("precision", "name", "fine", "wrong"),
    [
        ("float64", "weights/kernel", 3e-10, 5e-10),
        ("float32", "weights/kernel", 3e-5, 5e-5),
        ("float32", "after5/kernel", 3e-6, 5e-6),
        ("mixed_float16", "weights/kernel", 3e-2, 5e-2),
        ("float64", "history/accuracy", 3e-10, 5e-10),
        ("float32", "history/loss", 3e-5, 5e-5),
        ("float32", "history/accuracy", 1 / 65, 1.1 / 65),
        ("mixed_float16", "optimizer/iterations", 0, 1e-9),
        ("mixed_float16", "exact/scales", 0, 1e-9),
    ],
)
def test_bound_is_relative_to_the_largest_value(precision, name, fine, wrong):
    assert not _compare([1.0, -4.0, fine], precision, name)[1]
    assert _compare([1.0, -4.0, wrong], precision, name)[1]


def test_largest_difference_is_returned():
    worst, problems = _compare([1.0, -4.0 + 2e-11, 0.0])
    assert worst == pytest.approx(5e-12, rel=1e-3)
    assert not problems


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_never_agrees(value):
    reference = {"weights/kernel": np.array([value, 1.0])}
    assert comparing.compare(reference, dict(reference), "float64", 65)[1]


def test_names_and_shapes_must_be_the_same():
    reference = {"weights/kernel": np.ones(2)}
    assert comparing.compare(reference, {}, "float64", 65)[1]
    assert comparing.compare(reference, {"weights/kernel": np.ones(3)}, "float64", 65)[
        1
    ]
    more = {**reference, "weights/bias": np.ones(2)}
    assert comparing.compare(reference, more, "float64", 65)[1]


def test_only_listed_variables_are_left_out():
    for name, problems in [("weights/key/bias", 0), ("weights/query/bias", 1)]:
        assert len(_compare([1.0, 4.0, 0.0], name=name)[1]) == problems


def test_of_fused_biases_only_the_part_of_the_key_is_left_out():
    for place, problems in enumerate([1, 0, 1]):
        found = np.ones(6)
        found[2 * place] = 1.1
        compared = comparing.compare(
            {"weights/query_key_value/bias": np.ones(6)},
            {"weights/query_key_value/bias": found},
            "float64",
            65,
        )
        assert len(compared[1]) == problems
