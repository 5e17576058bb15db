"""The signature `classify`: from serialised `tf.train.Example` to named scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.serving.interface import Interface

NAME = "classify"
METHOD = "tensorflow/serving/classify"


def problem(
    interface: Interface, labels: Sequence[str], sample: Sequence[tf.Tensor]
) -> str:
    """Why a model can have no such signature; empty if it can.

    Args:
        interface: Of the model.
        labels: The name of each class, in the order of the output.
        sample: Its inputs for one example.
    """
    shapes = {n: tuple(output.shape) for n, output in interface.call(*sample).items()}
    if list(shapes.values()) != [(1, len(labels))]:
        return (
            f"labels: expected a model with one output of shape (batch, {len(labels)}),"
            f" a score for each label. Received: outputs of shapes {shapes}."
        )
    for spec in interface.specs:
        if None in spec.shape[2:]:
            return (
                "labels: expected inputs with no more than one free dimension behind "
                f"the batch, as tf.train.Example is flat. Received: {spec}."
            )
    return ""


def make_function(interface: Interface, labels: Sequence[str]) -> Any:
    """The function behind the signature.

    TF Serving wants an input `inputs`, the examples of a batch, and outputs `classes`
    and `scores`, both of shape (batch, classes). The features of an example have the
    names of the model's inputs; a tensor stands in it flattened.

    Args:
        interface: Of a model without a `problem`.
        labels: The name of each class, in the order of the output.
    """
    features = {spec.name: feature_spec(spec) for spec in interface.specs}
    (output_name,) = interface.output_names

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")],
        autograph=False,
    )
    def classify(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, features)
        inputs = [parsed_input(parsed[spec.name], spec) for spec in interface.specs]
        scores = tf.cast(interface.call(*inputs)[output_name], tf.float32)
        names = tf.constant([[*labels]], tf.string)
        return {"classes": tf.tile(names, [tf.shape(scores)[0], 1]), "scores": scores}

    classify.get_concrete_function()
    return classify


def _wire_type(spec: tf.TensorSpec) -> tf.DType:
    """A feature's own types are three."""
    if spec.dtype == tf.string:
        return tf.string
    return tf.float32 if spec.dtype.is_floating else tf.int64


def feature_spec(spec: tf.TensorSpec) -> Any:
    """How a model's input is parsed."""
    if spec.shape.rank > 1 and spec.shape[1] is None:
        return tf.io.RaggedFeature(_wire_type(spec))
    return tf.io.FixedLenFeature(spec.shape[1:], _wire_type(spec))


def parsed_input(parsed: Any, spec: tf.TensorSpec) -> tf.Tensor:
    """A model's input, out of what was parsed."""
    if isinstance(parsed, tf.RaggedTensor):
        lengths = parsed.row_lengths()
        if spec.dtype.is_floating:
            # Zeros behind a shorter sequence would be read as a part of it; token ids
            # have 0 for padding.
            tf.debugging.assert_equal(
                tf.reduce_max(lengths),
                tf.reduce_min(lengths),
                f"{spec.name}: expected sequences of one length in a batch",
            )
        flat = parsed.to_tensor()
        steps = tf.shape(flat)[1] // int(np.prod(spec.shape[2:]))
        parsed = tf.reshape(flat, [tf.shape(flat)[0], steps, *spec.shape[2:]])
    return tf.ensure_shape(tf.cast(parsed, spec.dtype), spec.shape)


def example(arrays: Sequence[np.ndarray], specs: Sequence[tf.TensorSpec]) -> bytes:
    """One example for the signature, serialised.

    Args:
        arrays: Each input of one example, without the batch dimension.
        specs: The inputs.
    """
    features = {}
    for array, spec in zip(arrays, specs, strict=True):
        flat = np.asarray(array).reshape(-1).tolist()
        kind = _wire_type(spec)
        if kind == tf.string:
            flat = [v.encode() if isinstance(v, str) else v for v in flat]
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=flat))
        elif kind == tf.float32:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=flat))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
        features[spec.name] = feature
    feature = tf.train.Features(feature=features)
    return tf.train.Example(features=feature).SerializeToString()
