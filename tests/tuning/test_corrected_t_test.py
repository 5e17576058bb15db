"""The test of two recipes on the same folds."""

import math

import numpy as np
import pytest

from kerascale.tuning import corrected_t_test


@pytest.mark.parametrize(
    ("degrees", "t"),
    # Quantiles for 5 % on both sides, from printed tables.
    [(1, 12.7062), (2, 4.302653), (4, 2.776445), (5, 2.570582), (9, 2.262157)],
)
def test_probabilities_are_those_of_tables(degrees, t):
    assert corrected_t_test.both_sides(t, degrees) == pytest.approx(0.05, abs=1e-6)
    assert corrected_t_test.both_sides(-t, degrees) == pytest.approx(0.05, abs=1e-6)


def test_the_statistic_is_that_of_the_paper():
    first, second = [0.80, 0.82, 0.78, 0.81, 0.79], [0.83, 0.83, 0.80, 0.83, 0.83]
    found = corrected_t_test.test(first, second, 0.25)
    differences = np.subtract(second, first)
    expected = differences.mean() / math.sqrt((1 / 5 + 0.25) * differences.var(ddof=1))
    assert found.difference == pytest.approx(differences.mean())
    assert found.t == pytest.approx(expected)
    # Without the correction it would be sure: t = 4.7.
    assert 0.03 < found.p < 0.05
    assert corrected_t_test.test(first, first, 0.25).p == 1.0
