"""The head of ranks: probabilities of a score and thresholds that rise."""

import numpy as np
import pytest

from kerascale.layers import CumulativeLogits


def test_ranks_are_probabilities_in_order():
    layer = CumulativeLogits(5)
    logits = layer(np.random.default_rng(0).normal(size=(200, 3)).astype("float32"))
    np.testing.assert_allclose(np.exp(logits).sum(axis=-1), 1, rtol=1e-5)
    # Far out no probability is lost, where a difference of sigmoids would be 0.
    layer.kernel.assign([[60.0], [0.0], [0.0]])
    low = np.asarray(layer(np.array([[-1.0, 0, 0]], "float32")))[0]
    assert np.isfinite(low).all()
    assert (np.diff(low) < 0).all()
    # P(0) = sigmoid(t0 - s) = 1 here, and P(1) = sigmoid(t1 - s) - sigmoid(t0 - s).
    first = float(np.asarray(layer.first)[0])
    gap = np.log1p(np.exp(float(np.asarray(layer.gaps)[0]))) + 1e-4
    expected = -60 - first + np.log1p(-np.exp(-gap))
    assert low[1] == pytest.approx(expected, rel=1e-5)
