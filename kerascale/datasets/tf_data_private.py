"""Every use of a private name of `tf.data`, each with the test that guards it.

When a release of TensorFlow moves one, `tests/datasets/test_tf_data_private.py` fails
and says what to do; nothing outside this file has to change. Until then nothing is
known.
"""

import tensorflow as tf


def inputs_of(batches: tf.data.Dataset) -> list[tf.data.Dataset]:
    """What a dataset reads; nothing where TensorFlow does not tell."""
    inputs = getattr(batches, "_inputs", None)
    return list(inputs()) if callable(inputs) else []


def batch_size_of(batches: tf.data.Dataset) -> int | None:
    """How many examples `batch` puts together; None: it is no such dataset."""
    size = getattr(batches, "_batch_size", None)
    return None if size is None else int(tf.get_static_value(size))


def kind_of(batches: tf.data.Dataset) -> str:
    """What kind of dataset it is, such as `Batch`, `ParallelMap` or `Prefetch`."""
    return type(batches).__name__.removeprefix("_").removesuffix("Dataset")
