"""Trainings under a strategy that are refused, with the way out."""

import threading

import building
import keras
import numpy as np
import tensorflow as tf
from building import classes, mlp, numbers, scaled
from registry import refusal

import kerascale as ks
from cases.custom import TwoUpdates

WORKERS = {"strategies": ("workers:2",)}
BOTH = {"strategies": ("mirrored:2", "workers:2")}
LOSS = "sparse_categorical_crossentropy"


def _compiled(model=None, loss=LOSS, optimizer="sgd", **arguments):
    model = model or mlp()
    model.compile(optimizer, loss, **arguments)
    return model


def _accumulating():
    return keras.optimizers.SGD(gradient_accumulation_steps=2)


def _data(n=64):
    return tf.data.Dataset.from_tensor_slices((numbers(n, 4), classes(n)))


@refusal(r"Received: strings.*Turn them into numbers in the data pipeline")
def string_inputs():
    x = keras.Input((), dtype="string")
    vectorizer = keras.layers.TextVectorization(
        output_sequence_length=3, vocabulary=["a", "b"]
    )
    y = keras.layers.Embedding(4, 2)(vectorizer(x))
    y = keras.layers.Dense(3)(keras.layers.Flatten()(y))
    words = np.array(["a b", "b", "a", "b b"] * 4, dtype=object)
    data = tf.data.Dataset.from_tensor_slices((words, classes(16))).batch(8)
    _compiled(scaled(keras.Model(x, y))).fit(data, verbose=0)


def _unseed():
    # TensorFlow's own seed would give every shuffle one, the same on every worker.
    tf.random.set_seed(None)


@refusal(r"1 shuffle without a seed.*shuffle\(size, seed=1\)", **WORKERS)
def unseeded_shuffle():
    _unseed()
    _compiled().fit(_data().shuffle(64).batch(16), verbose=0)


@refusal(r"shuffle without a seed", **WORKERS)
def unseeded_shuffle_of_validation():
    _unseed()
    _compiled().fit(
        _data().batch(16), validation_data=_data().shuffle(64).batch(16), verbose=0
    )


@refusal(r"same number of batches on every worker.*Received: 4, 3", **WORKERS)
def other_cardinality():
    _compiled().fit(_data(64 - 16 * building.worker).batch(16), verbose=0)


@refusal(r"Received: an unknown one.*assert_cardinality", **WORKERS)
def unknown_cardinality():
    _compiled().fit(_data().filter(lambda x, y: y < 2).batch(16), verbose=0)


@refusal(r"expected a tf.data.Dataset or arrays.*from_generator", **WORKERS)
def generator():
    def batches():
        while True:
            yield numbers(16, 4), classes(16)

    _compiled().fit(batches(), steps_per_epoch=3, verbose=0)


@refusal(r"at least one example for each of 2 replicas.*batch of 1", **BOTH)
def batch_smaller_than_replicas():
    _compiled().fit(numbers(8, 4), classes(8), batch_size=1, verbose=0)


class OwnModel(ks.Model):
    """Has statistics of each replica's own, of which nobody was told."""

    def __init__(self):
        super().__init__()
        self.normalization = keras.layers.BatchNormalization(name="mine")
        self.out = keras.layers.Dense(3)

    def call(self, x, training=False):
        return self.out(self.normalization(x, training=training))


@refusal(r"synchronized=False in mine.*Pass synchronized=True")
def batch_statistics():
    _compiled(OwnModel()).fit(numbers(64, 4), classes(64), verbose=0)


@refusal(r"made outside of MirroredStrategy's scope.*strategy\.scope\(\)")
def variables_outside_of_the_scope():
    layer = keras.layers.Dense(4)
    # A thread of its own is in no scope.
    thread = threading.Thread(target=layer.build, args=((None, 4),))
    thread.start()
    thread.join()
    _compiled(mlp(layer)).fit(numbers(64, 4), classes(64), verbose=0)


@refusal(r"keras\.distribution: expected none.*set_distribution\(None\)")
def keras_distribution():
    mesh = keras.distribution.DeviceMesh((2,), ["batch"], ["cpu:0", "cpu:1"])
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(device_mesh=mesh)
    )
    try:
        _compiled().fit(numbers(64, 4), classes(64), verbose=0)
    finally:
        keras.distribution.set_distribution(None)


@refusal(r"one optimizer where gradients are accumulated.*Received: 1 more")
def two_optimizers():
    model = mlp()
    model.second_optimizer = keras.optimizers.Adam()
    _compiled(model, optimizer=_accumulating()).fit(
        numbers(64, 4), classes(64), verbose=0
    )


@refusal(r"Received: Circle, which couples all examples")
def circle_loss():
    loss = keras.losses.Circle()
    _compiled(loss=loss).fit(numbers(64, 4), classes(64), verbose=0)


@refusal(r"Received: Dice, which couples all examples.*axis=\(1, 2, 3\)")
def dice_loss():
    y = keras.utils.to_categorical(classes(64), 3)
    _compiled(loss=keras.losses.Dice()).fit(numbers(64, 4), y, verbose=0)


@refusal(r"one that is distributed already.*Pass the dataset itself")
def distributed_dataset():
    strategy = tf.distribute.get_strategy()
    data = strategy.experimental_distribute_dataset(_data().batch(16))
    _compiled().fit(data, verbose=0)


@refusal(r"gradient_accumulation_steps.*a second optimizer\.apply\(\)")
def two_updates_with_accumulation():
    model = _compiled(scaled(TwoUpdates()), optimizer=_accumulating())
    model.fit(numbers(64, 4), classes(64), verbose=0)
