"""Batches into which each example comes by chance."""

import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets import poisson
from kerascale.datasets.gathers import FromArrays
from kerascale.datasets.pipeline import Batches


def test_batches_come_as_the_accountant_assumes():
    key = tf.Variable(12345, dtype=tf.uint64)
    sampler = poisson.Sampler(500, 40, key)
    found = sampler.indices_of(tf.constant(7), tf.constant(3000)).numpy()
    counts = (found >= 0).sum(axis=1)
    assert found.shape[1] == sampler.limit >= 40 + 6 * 6
    # Binomial: mean 40, variance 40 * 0.92.
    assert abs(counts.mean() - 40) < 0.5
    assert abs(counts.var() / (40 * 0.92) - 1) < 0.15
    for row in found[:50]:
        own = row[row >= 0]
        assert len(set(own)) == len(own)
        assert (row[len(own) :] == -1).all()
    often = np.bincount(found[found >= 0], minlength=500)
    assert abs(often - 240).max() < 5 * 240**0.5
    together = ((found == 3).any(1) & (found == 4).any(1)).mean()
    assert abs(together - 0.08**2) < 0.005
    np.testing.assert_array_equal(found[2], sampler.indices(tf.constant(9)))
    key.assign(54321)
    assert (sampler.indices(tf.constant(9)) != found[2]).numpy().any()


def test_rows_that_fill_up_are_told_by_their_weight():
    x = tf.reshape(tf.range(50.0), [50, 1])
    whole = Batches(FromArrays((x, tf.range(50))), 50, 10, seed=0, shuffle=True)
    sampler = poisson.Sampler(50, 10, tf.Variable(7, dtype=tf.uint64))
    batches = poisson.sampled(whole, sampler)
    assert batches.steps_per_epoch == whole.steps_per_epoch == 5
    for step, (features, labels, weights) in enumerate(batches.dataset()):
        assert len(labels) == sampler.limit
        came = sampler.indices(tf.constant(step, tf.int64)).numpy()
        np.testing.assert_array_equal(weights > 0, came >= 0)
        np.testing.assert_array_equal(labels[weights > 0], came[came >= 0])
        np.testing.assert_array_equal(features[:, 0], tf.cast(labels, tf.float32))
    both = batches.indices_of(tf.constant(1, tf.int64), tf.constant(2, tf.int64), 2)
    np.testing.assert_array_equal(both[1], sampler.indices(tf.constant(8, tf.int64)))
    assert len(list(batches.for_evaluation().dataset())) == 5


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ks.RefusedError, match="at most the 5 training examples"):
        poisson.Sampler(5, 6, tf.Variable(7, dtype=tf.uint64))
