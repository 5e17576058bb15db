"""Rows of numbers as the numbers of a table: deviations, and places among quantiles."""

import numpy as np
import tensorflow as tf

from kerascale.datasets.info import DataInfo
from kerascale.datasets.source import Source
from kerascale.datasets.tables import fitting
from kerascale.datasets.tables.column import Column
from kerascale.datasets.tables.features import TableFeatures
from kerascale.errors import RefusedError

# Rows by which quantiles are told; of more, as many at equal distances.
_MOST_ROWS = 2**17
_ROWS_AT_ONCE = 2**14


def features_of_numbers(info: DataInfo, train: Source) -> TableFeatures:
    """The first layer of a model on rows of numbers.

    Args:
        info: Of the data.
        train: The training rows.

    Raises:
        RefusedError: If they are no rows of numbers that can be read by their place.
    """
    if info.kind != "vector" or len(info.input_shape) != 1 or not train.is_indexed:
        raise RefusedError(
            "numbers: expected rows of numbers, in memory or packed, for quantiles. "
            f"Received: {info.name}, {info.kind or 'tf.data'} of shape "
            f"{tuple(info.input_shape)}. Leave it out, or take deviations."
        )
    names = info.feature_names or tuple(f"x{i}" for i in range(info.input_shape[0]))
    columns = [Column(name, "number") for name in names]
    fitted = fitting.with_moments(columns, _rows(train))
    return fitting.features_of([each.to_json() for each in fitted], as_sequence=False)


def _rows(train: Source) -> np.ndarray:
    """float32 of shape (rows, numbers)."""
    count = train.num_examples
    places = np.arange(count)
    if count > _MOST_ROWS:
        places = np.linspace(0, count - 1, _MOST_ROWS).astype(np.int64)
    gather = train.plain_gather or train.gather
    with tf.device("CPU"):
        epoch = tf.constant(0, tf.int64)
        parts = [
            gather(tf.constant(places[start : start + _ROWS_AT_ONCE]), epoch)[0].numpy()
            for start in range(0, len(places), _ROWS_AT_ONCE)
        ]
    return np.concatenate(parts).astype(np.float32, copy=False)
