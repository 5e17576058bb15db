"""`classify` gives each score the name of its own place in the output."""

import keras
import numpy as np
import tensorflow as tf

from kerascale.serving import classify, interface


def test_names_come_in_the_order_of_the_outputs():
    features = keras.Input((2,), name="features")
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Model(features, dense(features))
    dense.set_weights([np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])])
    face = interface.of(model)
    # Neither sorted nor sorted backwards.
    labels = ("mouse", "zebra", "ant")
    function = classify.make_function(face, labels)
    example = classify.example([np.array([1.0, 5.0])], face.specs)
    answer = function(tf.constant([example, example]))
    assert answer["classes"].numpy().tolist() == [[b"mouse", b"zebra", b"ant"]] * 2
    np.testing.assert_array_equal(answer["scores"], [[1, 2, 3]] * 2)
