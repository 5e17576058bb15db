"""Graphs whose traces TensorFlow counts for one model alone.

It warns of a function that is traced again and again, and counts by the code that is
traced: of a method, or a function inside of another, for all models of a process
together. A model for each fold of a cross-validation, or for each trial of a search, is
no fault. A partial has no code, and is counted by itself; what one model traces again
and again is warned of as before.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """A graph of a function, which belongs to one model."""
    return tf.function(
        functools.partial(function), autograph=False, reduce_retracing=True
    )


def again(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same of a graph that Keras has made; what runs eagerly stays as it is."""
    plain = getattr(function, "python_function", None)
    return function if plain is None else graph(plain)
