"""Warm-up records: requests that a server answers before it says that it is ready.

The first request to a version would else wait for what TensorFlow does once.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kerascale.serving import classify
from kerascale.serving.messages import PredictionLog

# Where TF Serving looks for it, in assets.extra; it reads 1,000 records at most.
FILE = "tf_serving_warmup_requests"


def write(
    file: pathlib.Path,
    arrays: Sequence[np.ndarray],
    specs: Sequence[tf.TensorSpec],
    *,
    classifies: bool,
) -> int:
    """Writes a request for each example, one for all, and those of `classify`.

    Args:
        file: The file.
        arrays: A batch of examples, an array for each input.
        specs: The inputs.
        classifies: Whether there is a signature `classify`.

    Returns:
        How many records were written.
    """
    count = len(arrays[0])
    parts = [[array[i : i + 1] for array in arrays] for i in range(count)]
    logs = [_predict(part, specs) for part in [*parts, arrays]]
    if classifies:
        rows = zip(*arrays, strict=True)
        logs.append(_classify([classify.example(row, specs) for row in rows]))
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in logs:
            writer.write(log.SerializeToString(deterministic=True))
    return len(logs)


def _predict(
    arrays: Sequence[np.ndarray], specs: Sequence[tf.TensorSpec]
) -> PredictionLog:
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = "serving_default"
    for array, spec in zip(arrays, specs, strict=True):
        tensor = tf.make_tensor_proto(array, spec.dtype)
        request.inputs[spec.name] = tensor.SerializeToString(deterministic=True)
    return log


def _classify(examples: Sequence[bytes]) -> PredictionLog:
    log = PredictionLog()
    request = log.classify_log.request
    request.model_spec.signature_name = classify.NAME
    request.input.example_list.examples.extend(examples)
    return log
