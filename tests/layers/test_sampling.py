"""What is drawn depends on an example's place in the batch, not on its slice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascale.engine.data import shard
from kerascale.layers import Sampling


def _drawn(rows, offset=None, shape=(5,), dtype="float64", layer=None):
    """Of a batch of six rows; None: all of it."""
    place = None
    if offset is not None:
        size, start, count = (tf.constant(n, tf.int64) for n in (6, offset, rows))
        place = shard.Shard(size, start, count, replicas=2)
    zeros = np.zeros((rows, *shape), dtype)
    with shard.at(place):
        layer = layer or Sampling(seed=3, dtype=dtype)
        return keras.ops.convert_to_numpy(layer((zeros, zeros), training=True))


@pytest.mark.parametrize("shape", [(5,), (4,), (1,), (2, 3)])
def test_slices_draw_what_the_whole_batch_draws(shape):
    whole = _drawn(6, shape=shape)
    parts = [_drawn(4, 0, shape), _drawn(2, 4, shape)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-15)
    assert len(np.unique(whole)) == whole.size


def test_each_call_draws_anew():
    layer = Sampling(seed=3, dtype="float64")
    assert (_drawn(6, layer=layer) != _drawn(6, layer=layer)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_numbers_are_normal(dtype):
    drawn = np.asarray(_drawn(4000, shape=(10,), dtype=dtype), "float64")
    np.testing.assert_allclose(drawn.mean(), 0, atol=0.02)
    np.testing.assert_allclose(drawn.std(), 1, atol=0.02)
    np.testing.assert_allclose((np.abs(drawn) < 1).mean(), 0.683, atol=0.01)
    np.testing.assert_allclose((drawn**4).mean(), 3, atol=0.15)
    # The two halves of a row come from the same pairs.
    np.testing.assert_allclose((drawn[:, :5] * drawn[:, 5:]).mean(), 0, atol=0.02)


def test_mean_and_variance_are_those_given():
    mean = np.full((2000, 4), 3.0)
    drawn = Sampling(seed=0, dtype="float64")(
        (mean, np.full_like(mean, np.log(4))), training=True
    )
    np.testing.assert_allclose(np.mean(drawn), 3, atol=0.1)
    np.testing.assert_allclose(np.std(drawn), 2, atol=0.05)


def test_outside_of_training_it_is_the_mean():
    mean = np.arange(6.0).reshape(2, 3)
    layer = Sampling(dtype="float64")
    np.testing.assert_array_equal(layer((mean, mean)), mean)


def test_it_saves_and_loads(tmp_path):
    inputs = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, Sampling(seed=5)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    zeros = np.zeros((2, 3), "float32")
    np.testing.assert_array_equal(
        loaded([zeros, zeros], training=True), model([zeros, zeros], training=True)
    )
