"""Data in memory: refused where it does not fit, worked on in parts."""

import numpy as np
import pytest

import kerascale as ks
from kerascale.datasets import memory


def test_data_that_does_not_fit_in_memory_is_refused(recipe, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    with pytest.raises(ks.RefusedError, match=r"digits: expected data that fits"):
        ks.train(recipe)


def test_moments_in_parts_equal_those_of_the_whole(monkeypatch):
    features = np.random.default_rng(0).normal(3, 2, (101, 4, 5)).astype("float32")
    monkeypatch.setattr(memory, "_PART_BYTES", 500)
    for per_feature, axes in ((True, (0, 1)), (False, None)):
        mean, variance = memory.moments(features, per_feature=per_feature)
        np.testing.assert_allclose(mean, features.mean(axes, dtype="float64"))
        np.testing.assert_allclose(variance, features.var(axes, dtype="float64"))
