"""What is dropped depends on an example's place in the batch, not on its slice."""

import numpy as np
import tensorflow as tf

from kerascale.engine.data import shard
from kerascale.layers import Dropout


def _dropped(x, offset=0):
    size, count = (tf.constant(n, tf.int64) for n in (len(x) * 2, len(x)))
    place = shard.Shard(size, tf.constant(offset, tf.int64), count, replicas=2)
    with shard.at(place):
        return Dropout(0.4, seed=3)(x, training=True).numpy()


def test_slices_drop_what_the_whole_batch_drops():
    x = np.ones((6, 7), "float32")
    whole = Dropout(0.4, seed=3)(x, training=True).numpy()
    parts = [_dropped(x[:3], 0), _dropped(x[3:], 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(*parts)


def test_what_is_kept_is_as_much_larger():
    kept = Dropout(0.4, seed=3)(np.ones((500, 8), "float32"), training=True).numpy()
    np.testing.assert_allclose(np.unique(kept), [0, 1 / 0.6], rtol=1e-6)
    np.testing.assert_allclose(np.mean(kept == 0), 0.4, atol=0.03)
    x = np.ones((3, 2), "float32")
    np.testing.assert_array_equal(Dropout(0.4, seed=3)(x), x)
