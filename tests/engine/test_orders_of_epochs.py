"""Which examples `fit` sees in which epoch, and where it goes on."""

import keras
import numpy as np
import tensorflow as tf

import kerascale as ks
from kerascale.datasets.gathers import gather_arrays
from kerascale.datasets.pipeline import Batches

STEPS = 4


class Seeing(ks.Model):
    """Notes the first number of each example."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.seen = []

    def call(self, x):
        tf.py_function(lambda rows: self.seen.append(rows.numpy()), [x[:, 0]], [])
        return self.dense(x)


def _fitted(batches, **options):
    model = Seeing()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(batches, verbose=0, **options)
    return [list(batch) for batch in model.seen]


def _batches():
    x = np.arange(8, dtype="float32")[:, None]
    return Batches(gather_arrays(x, x), 8, batch_size=2, seed=5, shuffle=True)


def test_each_epoch_has_every_example_in_an_order_of_its_own():
    seen = _fitted(_batches(), epochs=3)
    epochs = [np.ravel(seen[i : i + STEPS]).tolist() for i in range(0, 12, STEPS)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(8))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_run_goes_on_in_an_epoch_and_has_the_next_whole():
    whole = _fitted(_batches(), epochs=3)
    rest = _fitted(_batches().starting_at(3), initial_epoch=1, epochs=3)
    assert rest == whole[STEPS + 3 :]


class Counting(Batches):
    """Counts the iterators that are made."""

    made = 0

    def _mapped(self, steps):
        def count(_):
            type(self).made += 1
            return True

        begun = tf.data.Dataset.from_tensors(0).filter(
            lambda _: tf.py_function(count, [0], tf.bool)
        )
        return begun.flat_map(lambda _: super(Counting, self)._mapped(steps))


def test_one_iterator_goes_on_through_all_epochs():
    plain = _batches()
    batches = Counting(plain.gather, 8, batch_size=2, seed=5, shuffle=True)
    x = np.zeros((4, 1))
    assert _fitted(batches, epochs=3) == _fitted(plain, epochs=3)
    assert Counting.made == 1
    # Evaluation between two epochs, and epochs that are cut short, change nothing.
    seen = _fitted(batches, epochs=3, steps_per_epoch=2)
    assert seen == _fitted(plain, epochs=3, steps_per_epoch=2)
    seen = _fitted(batches, epochs=2, validation_data=(x, x))
    assert seen == _fitted(plain, epochs=2, validation_data=(x, x))
