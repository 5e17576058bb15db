"""`gather` and `global_mean` give of slices what the batch gives."""

import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.engine.collectives import lockstep
from kerascale.engine.data import shard

_SLICES = pytest.mark.parametrize("counts", [(4, 3), (7, 0), (3, 2, 2)], ids=str)
_RNG = np.random.default_rng(0)
_X, _BY_ROW = _RNG.normal(size=(7, 3)), _RNG.normal(size=7)


def _on_slices(function, batch, counts):
    """What a function gives for slices of a batch, each a replica's in a thread."""
    size = tf.constant(len(batch[0]), tf.int64)

    def on(start, count):
        # An empty slice has a row that does not count.
        rows = slice(start, start + count) if count else slice(1)
        place = shard.Shard(
            size,
            tf.constant(start, tf.int64),
            tf.constant(count, tf.int64),
            len(counts),
        )

        def run():
            with shard.at(place):
                return function(*(tf.constant(array[rows]) for array in batch))

        return run

    starts = np.cumsum([0, *counts])[:-1]
    places = zip(map(int, starts), counts, strict=True)
    return lockstep.Group(len(counts)).run([on(*place) for place in places])


def _gradients(loss_of, counts, is_weighted):
    """Those of the rows of `_X`, joined, and of the batch as a whole."""

    def gradient(x, by_row):
        here = shard.current()
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = loss_of(x, by_row)
            if here is not None and is_weighted:
                shard.weigh()
                loss *= here.share(loss.dtype)
        found = tape.gradient(loss, x)
        if here is None:
            return found
        if not is_weighted:
            found = here.weighted(found)
        return found[: here.count]

    parts = _on_slices(gradient, (_X, _BY_ROW), counts)
    return np.concatenate(parts), gradient(tf.constant(_X), tf.constant(_BY_ROW))


@_SLICES
def test_gather_gives_the_rows_of_the_batch(counts):
    batch = _X, np.arange(7, dtype="int8"), _X > 0
    for parts in _on_slices(lambda *nest: ks.ops.gather(nest), batch, counts):
        for part, whole in zip(parts, batch, strict=True):
            np.testing.assert_array_equal(part, whole)
            assert part.dtype == whole.dtype


@_SLICES
@pytest.mark.parametrize("is_weighted", [False, True])
def test_gradients_flow_back_to_where_rows_came_from(counts, is_weighted):
    def coupled(x, by_row):
        x, by_row = ks.ops.gather((x, by_row))
        return tf.reduce_mean(tf.tanh(x @ tf.transpose(x)) * by_row)

    found, expected = _gradients(coupled, counts, is_weighted)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@_SLICES
@pytest.mark.parametrize("is_weighted", [False, True])
def test_each_replica_may_look_at_all_rows_for_its_own(counts, is_weighted):
    def coupled(x, by_row):
        logits = tf.tanh(x @ tf.transpose(ks.ops.gather(x)))
        return ks.ops.global_mean(by_row * tf.reduce_logsumexp(logits, 1))

    found, expected = _gradients(coupled, counts, is_weighted)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@_SLICES
@pytest.mark.parametrize("is_weighted", [False, True])
def test_global_mean_has_the_gradient_of_the_batch(counts, is_weighted):
    def rmse(x, by_row):
        return tf.sqrt(ks.ops.global_mean(x**2, mask=by_row > 0))

    found, expected = _gradients(rmse, counts, is_weighted)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # The same by NumPy.
    counted = _X[_BY_ROW > 0]
    by_hand = _X * (_BY_ROW > 0)[:, None] / counted.size / np.sqrt(np.mean(counted**2))
    np.testing.assert_allclose(expected, by_hand, rtol=1e-12)


@_SLICES
def test_global_mean_counts_what_the_mask_says(counts):
    weights = np.array([0, 0.5, 2, 0, 0, 1, 3])
    values = np.where(weights[:, None] > 0, _X, np.nan)
    masks = {
        "weights": (weights, np.average(_X, axis=0, weights=weights).mean()),
        "of each value": (_X > 0, _X[_X > 0].mean()),
        "nothing": (np.zeros(7, bool), 0.0),
    }
    for name, (mask, expected) in masks.items():
        x = values if name == "weights" else _X
        found = _on_slices(ks.ops.global_mean, (x, mask), counts)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=name)
    found = _on_slices(ks.ops.global_mean, (_X,), counts)
    np.testing.assert_allclose(found, _X.mean(), rtol=1e-12)


def test_on_one_device_and_outside_of_a_step_rows_are_all_there_are():
    nest = {"x": tf.constant(_X), "y": _BY_ROW}
    assert ks.ops.gather(nest) is nest
    np.testing.assert_allclose(ks.ops.global_mean(_X), _X.mean(), rtol=1e-12)
    masked = ks.ops.global_mean(_X.astype("float32"), mask=_BY_ROW > 0)
    np.testing.assert_allclose(masked, _X[_BY_ROW > 0].mean(), rtol=1e-6)


def test_strings_are_refused():
    words = np.array([b"a"] * 7)
    with pytest.raises(ValueError, match="expected numbers or booleans"):
        _on_slices(ks.ops.gather, (words,), (4, 3))
