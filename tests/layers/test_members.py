"""Several models in one: each learns alone, and the answer is their mean."""

import keras
import numpy as np
import pytest

from kerascale.layers import MemberDense, MemberInputs, MemberMean, TargetScale

ROWS, MEMBERS, UNITS = 7, 4, 3
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(ROWS, MEMBERS, UNITS)).astype("float32")


def _classes(logits):
    y = np.arange(ROWS) % UNITS
    losses = keras.ops.sparse_categorical_crossentropy
    return losses(y, logits, from_logits=True)


def _labels(logits):
    y = (RANDOM.random((ROWS, UNITS)) > 2).astype("float32")
    y[::2, 1] = 1
    each = keras.ops.binary_crossentropy(y, logits, from_logits=True)
    return keras.ops.mean(each, axis=-1)


def _squares(logits):
    y = np.linspace(-1, 1, ROWS * UNITS, dtype="float32").reshape(ROWS, UNITS)
    return np.mean((logits - y) ** 2, axis=-1)


def _counts(logits):
    y = (np.arange(ROWS * UNITS) % 5).astype("float32").reshape(ROWS, UNITS)
    return 2 * np.mean(np.exp(logits) - y * np.asarray(logits), axis=-1)


@pytest.mark.parametrize(
    ("partition", "loss"),
    [
        ("softmax", _classes),
        ("sigmoid", _labels),
        ("squares", _squares),
        ("exp", _counts),
    ],
)
def test_what_is_added_makes_the_loss_the_mean_of_the_members_losses(partition, loss):
    layer = MemberMean(partition)
    mean = layer(LOGITS, training=True)
    (gap,) = layer.losses
    alone = np.mean([np.mean(loss(LOGITS[:, k])) for k in range(MEMBERS)])
    assert float(np.mean(loss(np.asarray(mean))) + gap) == pytest.approx(alone, 1e-5)
    assert float(gap) > 0
    np.testing.assert_allclose(layer(LOGITS, training=False), LOGITS.mean(1), rtol=1e-5)
    assert not layer.losses


def test_each_member_has_scales_and_a_last_layer_of_its_own():
    keras.utils.set_random_seed(1)
    x = RANDOM.normal(size=(ROWS, 6)).astype("float32")
    inputs, dense = MemberInputs(MEMBERS), MemberDense(UNITS)
    found = np.asarray(dense(inputs(x)))
    scales = np.asarray(inputs.scales)
    assert set(np.unique(scales)) == {-1.0, 1.0}
    kernel = np.asarray(dense.kernel).reshape(6, MEMBERS, UNITS)
    for k in range(MEMBERS):
        np.testing.assert_allclose(
            found[:, k], (x * scales[k]) @ kernel[:, k], rtol=1e-4, atol=1e-5
        )
    # Each kernel starts as one of a dense layer alone, and no two are the same.
    limit = np.sqrt(6 / (6 + UNITS))
    assert 0.8 * limit < np.abs(kernel).max() <= limit
    assert len(np.unique(kernel)) == kernel.size


def test_factors_of_the_mean():
    layer = TargetScale((2.0, 50.0), (1.0, 1.0), link="log")
    x = np.array([[0.0, np.log(2)], [-99, 99]], "float32")
    found = np.asarray(layer(x))
    np.testing.assert_allclose(found[0], [2, 100], rtol=1e-5)
    assert np.isfinite(found).all()
    assert (found > 0).all()
    again = TargetScale.from_config(layer.get_config())
    np.testing.assert_array_equal(again(x), found)
    with pytest.raises(ValueError, match="positive means"):
        TargetScale((0.0,), (1.0,), link="log")
