"""The signature `regress`: from serialised `tf.train.Example` to a number."""

from typing import Any

import tensorflow as tf

from kerascale.serving import classify
from kerascale.serving.interface import Interface

NAME = "regress"
METHOD = "tensorflow/serving/regress"


def make_function(interface: Interface) -> Any:
    """The function behind the signature.

    TF Serving wants an input `inputs`, the examples of a batch, and an output
    `outputs` of shape (batch, 1). The features of an example are those of `classify`.

    Args:
        interface: Of a model with one output of shape (batch, 1).
    """
    features = {spec.name: classify.feature_spec(spec) for spec in interface.specs}
    (output_name,) = interface.output_names

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")],
        autograph=False,
    )
    def regress(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, features)
        inputs = [
            classify.parsed_input(parsed[spec.name], spec) for spec in interface.specs
        ]
        return {"outputs": tf.cast(interface.call(*inputs)[output_name], tf.float32)}

    regress.get_concrete_function()
    return regress
