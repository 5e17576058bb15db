"""A batch is a pure function of (seed, epoch, step)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerascale.callbacks import SetEpoch
from kerascale.datasets import gathers, pipeline, splits
from kerascale.datasets.raw import Split
from kerascale.errors import RefusedError


def _batches(num_examples=10, batch_size=4, seed=0, shuffle=True):
    features = np.arange(num_examples, dtype=np.float32)[:, None]
    labels = np.arange(num_examples, dtype=np.int64)
    return pipeline.Batches(
        gathers.gather_arrays(features, labels),
        num_examples=num_examples,
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
    )


def _labels(dataset):
    return [y.numpy().tolist() for _, y in dataset]


@settings(max_examples=8, deadline=None)
@given(
    num_examples=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**63 - 1),
    data=st.data(),
)
def test_any_start_step_continues_the_same_batches(
    num_examples, batch_size, seed, data
):
    batches = _batches(num_examples, batch_size, seed)
    epochs = 3
    total = epochs * batches.steps_per_epoch
    start = data.draw(st.integers(0, total))
    whole = _labels(batches.dataset(epochs))
    assert len(whole) == total
    assert _labels(batches.dataset(epochs, start_step=start)) == whole[start:]


@settings(max_examples=8, deadline=None)
@given(num_examples=st.integers(1, 60), batch_size=st.integers(1, 70))
def test_each_epoch_has_every_example_once(num_examples, batch_size):
    batches = _batches(num_examples, batch_size)
    labels = _labels(batches.dataset(2))
    per_epoch = batches.steps_per_epoch
    for epoch in (labels[:per_epoch], labels[per_epoch:]):
        assert sorted(label for batch in epoch for label in batch) == list(
            range(num_examples)
        )


def test_epochs_and_seeds_have_orders_of_their_own():
    batches = _batches(100, 100)
    first, second = _labels(batches.dataset(2))
    assert first != second
    assert _labels(_batches(100, 100, seed=1).dataset(1))[0] != first
    assert _labels(_batches(100, 100).dataset(1))[0] == first


def test_unshuffled_examples_keep_their_order():
    batches = _batches(10, 4, shuffle=False)
    assert _labels(batches.dataset()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_features_and_labels_stay_together():
    for x, y in _batches(50, 7).dataset(2):
        np.testing.assert_array_equal(x.numpy()[:, 0], y.numpy())


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 9), extra=st.integers(1, 50), epoch=st.integers(0, 5))
def test_windows_are_followed_by_their_next_token(length, extra, epoch):
    tokens = np.arange(length + extra, dtype=np.int32)
    count = gathers.num_windows(len(tokens), length)
    gather = gathers.gather_windows(tokens, length, shift=True)
    x, y = gather(np.arange(count, dtype=np.int64), np.int64(epoch))
    assert x.shape == y.shape == (count, length)
    np.testing.assert_array_equal(y, x + 1)


def test_unshifted_windows_cover_the_text_once():
    tokens = np.arange(21, dtype=np.int32)
    x, _ = gathers.gather_windows(tokens, 5, shift=False)(np.arange(4), np.int64(3))
    np.testing.assert_array_equal(x.numpy().reshape(-1), tokens[:20])


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=20, max_size=200),
    fraction=st.floats(0.1, 0.5),
)
def test_split_off_is_stratified_and_loses_nothing(labels, fraction):
    labels = np.array(labels, dtype=np.int64)
    split = Split(np.arange(len(labels))[:, None], labels)
    kept, taken = splits.split_off(split, fraction, salt=1)
    together = np.concatenate([kept.features, taken.features])[:, 0]
    assert sorted(together) == list(range(len(labels)))
    np.testing.assert_array_equal(labels[taken.features[:, 0]], taken.labels)
    for label in range(4):
        expected = fraction * (labels == label).sum()
        assert abs((taken.labels == label).sum() - expected) <= 1.001


def test_split_off_is_the_same_for_every_run():
    split = Split(np.arange(30)[:, None], np.arange(30) % 3)
    first = splits.split_off(split, 0.2, salt=1)[1].features
    np.testing.assert_array_equal(
        first, splits.split_off(split, 0.2, salt=1)[1].features
    )
    assert (first != splits.split_off(split, 0.2, salt=2)[1].features).any()


def test_split_off_refuses_an_empty_part():
    split = Split(np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
    with pytest.raises(
        RefusedError, match=r"enough examples to hold back 0\.1 of them"
    ):
        splits.split_off(split, 0.1, salt=1)


def test_an_epoch_is_read_when_its_iteration_begins():
    batches = _batches(10, 4)
    epoch = tf.Variable(0, dtype=tf.int64)
    dataset = batches.epoch_dataset(epoch)
    assert int(dataset.cardinality()) == 3
    seen = []
    for number in range(3):
        epoch.assign(number)
        seen += _labels(dataset)
    assert seen == _labels(batches.dataset(3))


@settings(max_examples=6, deadline=None)
@given(
    num_examples=st.integers(1, 300),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**63 - 1),
    data=st.data(),
)
def test_a_dataset_may_go_on_to_another_epoch(num_examples, batch_size, seed, data):
    batches = _batches(num_examples, batch_size, seed)
    num = batches.steps_per_epoch
    first, epochs = data.draw(st.integers(0, num)), data.draw(st.integers(1, 3))
    counters = [tf.Variable(each, dtype=tf.int64) for each in (2, first, 2 + epochs)]
    dataset = batches.epoch_dataset(*counters)
    expected = _labels(batches.dataset(2 + epochs, start_step=2 * num + first))
    assert _labels(dataset) == expected
    counters[2].assign(0)  # The epoch alone.
    assert _labels(dataset) == expected[: num - first]


@pytest.mark.parametrize("steps_per_execution", [1, 2, 3, 100])
def test_fit_sees_every_example_once_an_epoch(steps_per_execution):
    """Also where steps_per_execution does not divide the epoch."""
    batches = _batches(10, 4)
    set_epoch = SetEpoch()

    class Sum(keras.Model):
        """Adds up the labels that `fit` gives it."""

        def __init__(self):
            super().__init__()
            self.total = self.add_weight(shape=(), initializer="zeros", trainable=False)
            self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            return x

        def train_step(self, data):
            self.total.assign_add(keras.ops.sum(keras.ops.cast(data[1], "float32")))
            self.steps.assign_add(1.0)
            return {"total": self.total.value}

    model = Sum()
    model.compile(loss="mse", steps_per_execution=steps_per_execution)
    model.fit(
        batches.epoch_dataset(set_epoch.epoch),
        epochs=3,
        callbacks=[set_epoch],
        shuffle=False,
        verbose=0,
    )
    assert float(model.total) == 3 * sum(range(10))
    assert float(model.steps) == 3 * 3
