"""Some examples of a split, as they are, without the others in memory."""

from typing import Any

import numpy as np
import tensorflow as tf


def spread(count: int, most: int) -> np.ndarray:
    """Places from the whole of a split: data may be in order."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def at(source: Any, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The examples at some places, and their labels.

    Args:
        source: A split, as it is evaluated.
        places: From 0; in any order.
    """
    if source.is_indexed:
        x, y, *_ = source.gather(tf.constant(places), tf.constant(0, tf.int64))
        return np.asarray(x), np.asarray(y)
    ascending = np.sort(places)
    inputs, labels, first = [], [], 0
    for x, y, *_ in source.dataset():
        y = np.asarray(y)
        inside = ascending[(ascending >= first) & (ascending < first + len(y))]
        inputs.append(np.asarray(x)[inside - first])
        labels.append(y[inside - first])
        first += len(y)
    order = np.argsort(np.argsort(places))
    return np.concatenate(inputs)[order], np.concatenate(labels)[order]
