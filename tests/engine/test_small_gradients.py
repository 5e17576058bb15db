"""Small gradients travel in one buffer, and come out as they were."""

import numpy as np
import tensorflow as tf

from kerascale.engine.collectives.packing import SMALL_BYTES, Packing


def _same(found, expected):
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, tf.IndexedSlices):
            np.testing.assert_array_equal(a.values, b.values)
            np.testing.assert_array_equal(a.indices, b.indices)
        else:
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)


def test_all_come_out_as_they_were():
    random = np.random.default_rng(0)
    large = tf.constant(random.normal(size=SMALL_BYTES // 4 + 1), tf.float32)
    rows = tf.IndexedSlices(tf.ones([3, 2]), tf.constant([4, 0, 4]), [9, 2])
    given = [
        tf.constant(random.normal(size=(3, 4)), tf.float32),
        large,
        tf.constant(2.5, tf.float64),
        rows,
        tf.constant(random.normal(size=5), tf.float32),
        tf.constant(-1.0),
        tf.zeros([0, 7]),
    ]
    packing = Packing(given)
    packed = packing.pack(given)
    # Two buffers, the large one and the rows: nothing is left that has no axis.
    assert [tuple(each.shape) for each in packed[:2]] == [(18,), (1,)]
    assert packed[2] is large
    assert packed[3] is rows
    _same(packing.unpack(packed), given)


def test_one_alone_is_not_copied():
    given = [tf.ones([4]), tf.IndexedSlices(tf.ones([1, 2]), tf.constant([0]), [3, 2])]
    packed = Packing(given).pack(given)
    assert packed[0] is given[0]
    assert packed[1] is given[1]
