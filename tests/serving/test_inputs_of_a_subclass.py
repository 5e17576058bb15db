"""What a subclass takes: it does not say, and ids above 2**24 are no float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.serving import interface

IDS = np.array([[16777217], [16777219], [5]], "int64")


class Lookup(keras.Model):
    def __init__(self):
        super().__init__()
        self.ids = keras.layers.IntegerLookup(
            vocabulary=[16777217, 16777219], output_mode="one_hot"
        )
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.ids(x))


def test_it_is_what_the_data_was():
    model = ks.scale(Lookup())
    model.compile("sgd", "mse")
    model.fit(IDS, np.ones((3, 1)), verbose=0)
    found = interface.of(model)
    (spec,) = found.specs
    assert spec.dtype == tf.int64
    (scores,) = found.call(tf.constant(IDS)).values()
    assert len(np.unique(scores)) == 3  # No id is taken for another.


def test_where_nobody_knows_it_is_refused():
    model = Lookup()
    model(IDS)
    with pytest.raises(
        ks.RefusedError, match=r"integer_lookup.*2\*\*24.*input_signature"
    ):
        interface.of(model)
    named = tf.TensorSpec((None, 1), tf.int64, name="ids")
    assert interface.of(model, named).specs == (named,)
