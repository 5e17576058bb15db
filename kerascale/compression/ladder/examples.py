"""The examples that a ladder calibrates with, and those that it is measured on."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.compression.measuring.scores import Answers
from kerascale.compression.quantization.ranges import Ranges
from kerascale.datasets.info import DataInfo
from kerascale.errors import RefusedError
from kerascale.reporting import mistakes
from kerascale.runs.files import named_arrays
from kerascale.runs.run import Run


@dataclasses.dataclass(frozen=True)
class Examples:
    """Held-out examples in files, what is right, and what the trained model says.

    Args:
        split: Its name.
        inputs: Name -> a file with an array of all examples.
        labels_file: A file with what is right.
        labels: The same as an array.
        original: The answers of the trained model.
        in_integers: Its answers with the ranges that it has learned; None: it has none.
        calibration: Training examples by name.
        datasets: The data, read again.
        source: The split.
    """

    split: str
    inputs: dict[str, str]
    labels_file: str
    labels: np.ndarray
    original: Answers
    in_integers: Answers | None
    calibration: dict[str, np.ndarray]
    datasets: Any
    source: Any


def read(
    run: Run, specs: Any, number: int, folder: pathlib.Path, ranges: Ranges | None
) -> Examples:
    """Reads a run's data again, and writes what a runtime's process needs of it.

    Args:
        run: The run.
        specs: What the model takes: a `tf.TensorSpec` for its one input.
        number: How many training examples to calibrate with.
        folder: For the files.
        ranges: Of activations, if the run has learned them.

    Raises:
        RefusedError: If the data cannot be had, or is not that of the training.
    """
    split = run.metrics.get("split")
    if split is None:
        raise RefusedError(
            f"run: expected held-out examples to measure on. Received: {run.path}, "
            "whose data has neither a test nor a validation split."
        )
    datasets, source = mistakes.open_split(run, split)
    if len(specs) != 1:
        raise RefusedError(
            "run: expected a model of one input. Received: "
            f"{', '.join(spec.name for spec in specs)}."
        )
    (spec,) = specs
    dtype = spec.dtype.as_numpy_dtype
    file = folder / f"{spec.name}.npy"
    inputs = None
    labels = []
    first = 0
    for x, y in source.dataset():
        truth = _truth(y, run.info)
        (array,) = named_arrays(x).values()
        if inputs is None:  # On the disk: a large split would not fit in memory.
            shape = (source.num_examples, *array.shape[1:])
            inputs = np.lib.format.open_memmap(file, "w+", dtype, shape)
        inputs[first : first + len(truth)] = array
        first += len(truth)
        labels.append(truth)
    inputs.flush()
    in_integers = None
    if ranges is not None:
        with ranges.applied(run.model):
            in_integers = _answers(run.model, source, run.info)
    truth = np.concatenate(labels)
    np.save(folder / "labels.npy", truth)
    return Examples(
        split,
        {spec.name: str(file)},
        str(folder / "labels.npy"),
        truth,
        _answers(run.model, source, run.info),
        in_integers,
        {spec.name: _spread(datasets.train, number).astype(dtype)},
        datasets,
        source,
    )


def _truth(y: Any, info: DataInfo) -> np.ndarray:
    truth = np.asarray(y)
    is_numbers = info.task == "regression"
    return truth.reshape(-1, len(info.target_names)) if is_numbers else truth


def _answers(model: Any, source: Any, info: DataInfo) -> Answers:
    """What a model answers, on batches as they are evaluated."""
    predicted, given, highest = [], [], []
    for x, y in source.dataset():
        truth = _truth(y, info)
        outputs = np.asarray(model.predict_on_batch(x), np.float32)
        if info.task == "regression":
            for each in (predicted, given, highest):
                each.append(outputs)
            continue
        predicted.append(outputs.argmax(axis=-1).astype(np.int32))
        given.append(np.take_along_axis(outputs, truth[..., None], axis=-1)[..., 0])
        highest.append(outputs.max(axis=-1))
    return Answers(*map(np.concatenate, (predicted, given, highest)))


def _spread(train: Any, number: int) -> np.ndarray:
    """Training examples from the whole split, as they are: data may be in order."""
    source = train.for_evaluation()
    count = source.num_examples
    places = np.unique(np.linspace(0, count - 1, min(number, count)).astype(np.int64))
    if source.is_indexed:
        x, *_ = source.gather(tf.constant(places), tf.constant(0, tf.int64))
        return np.asarray(x)
    found, first = [], 0
    for x, *_ in source.dataset():
        x = np.asarray(x)
        inside = places[(places >= first) & (places < first + len(x))]
        found.append(x[inside - first])
        first += len(x)
    return np.concatenate(found)
