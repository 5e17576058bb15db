"""Ranges of activations, learned while a model trains.

They are moving averages of the lowest and the highest activation of each global batch
(Jacob et al. 2018, section 3.1). A step quantizes with those of before it, so that no
layer waits for another replica.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.compression.quantization import fake, places
from kerascale.compression.quantization.places import Places
from kerascale.engine.collectives import consensus
from kerascale.engine.compat import keras_private
from kerascale.engine.execution import prediction_loop, step_functions
from kerascale.engine.model import Engine
from kerascale.engine.step import observations
from kerascale.errors import RefusedError

# Of the moving average: a range forgets what it has seen in about 100 batches.
_KEPT = 0.99
# An attribute of a model: its `Learning`.
_LEARNING = "_kerascale_learned_ranges"


class Learning:
    """Looks at activations from the first step on, and quantizes from a later one.

    Its state is in two variables of the optimizer, so that it is saved with it.

    Args:
        found: What is quantized.
        optimizer: The innermost one of the model.
        begin: The update, from 0, from which on steps are quantized.
    """

    in_rows = False

    def __init__(
        self, found: Places, optimizer: keras.optimizers.Optimizer, begin: int
    ) -> None:
        self.places = found
        self.optimizer = optimizer
        self.begin = begin
        self.shape = (2 * len(found.weighted), 2)
        self.dtype = keras.backend.result_type(keras.config.floatx(), "float32")
        # -low and high of each: so both are maxima, and not negative.
        self.ranges = optimizer.add_variable(
            self.shape, initializer="zeros", dtype=self.dtype, name="activation_ranges"
        )
        self.count = optimizer.add_variable(
            (), initializer="zeros", dtype=self.dtype, name="activation_batches"
        )

    @property
    def variables(self) -> list[keras.Variable]:
        return [self.ranges, self.count]

    def _is_on(self) -> tf.Tensor:
        # Where gradients are accumulated it is computed, and no variable.
        now = keras.ops.convert_to_tensor(self.optimizer.iterations)
        return tf.cast(now, tf.int64) >= self.begin

    def activations(self, x: tf.Tensor, number: int) -> tf.Tensor:
        """See `layers.Scheme`."""
        if observations.is_wanted():
            seen = tf.stop_gradient(tf.cast(x, self.dtype))
            lowest, highest = tf.reduce_min(seen), tf.reduce_max(seen)
            observations.tell(number, tf.nn.relu(tf.stack([-lowest, highest])))
        below, above = tf.unstack(tf.convert_to_tensor(self.ranges)[number])
        return tf.where(self._is_on(), fake.activations(x, -below, above), x)

    def weights(self, kernel: tf.Tensor, factor: Any = None) -> tf.Tensor:
        """See `layers.Scheme`."""
        return tf.where(self._is_on(), fake.folded(kernel, factor), kernel)

    def statistics(self, batch: Sequence, still: Sequence) -> Sequence:
        """See `layers.Scheme`."""
        is_on = self._is_on()
        return [tf.where(is_on, b, a) for a, b in zip(batch, still, strict=True)]

    def update(self, maxima: tf.Tensor) -> None:
        """See `observations.Observer`."""
        count = tf.convert_to_tensor(self.count) + 1
        # At first a plain mean: an average that begins with zero would be too small.
        share = tf.maximum(1 / count, 1 - _KEPT)
        before = tf.convert_to_tensor(self.ranges)
        after = before + (maxima - before) * share
        is_whole = tf.reduce_all(tf.math.is_finite(maxima))
        self.ranges.assign(tf.where(is_whole, after, before))
        self.count.assign(tf.where(is_whole, count, count - 1))

    def values(self) -> np.ndarray:
        """(low, high) of each grid; both 0 where there is none."""
        found = np.asarray(keras.ops.convert_to_numpy(self.ranges), np.float64)
        return found * [-1.0, 1.0]


def of(model: keras.Model) -> Learning | None:
    """What a model learns its ranges with."""
    return vars(model).get(_LEARNING)


def install(model: keras.Model, begin: int) -> Learning:
    """Lets a model learn ranges while it trains.

    Args:
        model: Compiled, built and scaled.
        begin: The update, from 0, from which on steps are quantized.

    Raises:
        RefusedError: If it is none, or has nothing that can be quantized.
    """
    optimizer = _optimizer_of(model)
    found = places.find(model)
    with model.distribute_strategy.scope():
        learning = Learning(found, optimizer, begin)
    found.attach(learning)
    observations.attach(model, learning)
    # Past Keras' own __setattr__, which would track it.
    vars(model)[_LEARNING] = learning
    model.train_function = None
    forget_answers(model)
    return learning


def strip(model: keras.Model) -> np.ndarray:
    """Takes all that away, and rounds the weights to their grids.

    All workers call it. They take the ranges of the chief, whose weights are the best.

    A step that was traced before has it still.

    Returns:
        See `Learning.values`.
    """
    learning = vars(model).pop(_LEARNING)
    observations.attach(model, None)
    learning.places.detach()
    consensus.take_from_chief(model.distribute_strategy, learning.variables)
    values = learning.values()
    for variable, factor in learning.places.weights:
        tensor = tf.convert_to_tensor(keras.ops.convert_to_numpy(variable))
        variable.assign(fake.folded(tensor, factor))
    keras_private.forget(learning.optimizer, learning.variables)
    forget_answers(model)
    return values


def forget_answers(model: keras.Model) -> None:
    """Lets a model trace anew how it evaluates and predicts."""
    model.test_function = model.predict_function = None
    own = step_functions.of_one_device(model)
    own["test_function"] = own["predict_function"] = None
    prediction_loop.forget(model)


def _optimizer_of(model: keras.Model) -> keras.optimizers.Optimizer:
    problem = None
    optimizer: Any = getattr(model, "optimizer", None)
    if not isinstance(model, Engine):
        problem = (
            "a model with the step engine, which knows the global batch. Received: "
            f"a plain {type(model).__name__}. Call kerascale.scale(model)"
        )
    elif not model.built:
        problem = (
            f"a model that is built. Received: {type(model).__name__}, which is not. "
            "Call model.build(input_shape)"
        )
    elif optimizer is None:
        problem = (
            "a model that is compiled with an optimizer. Received: "
            f"{type(model).__name__} without one. Call model.compile(...)"
        )
    elif isinstance(optimizer, keras.optimizers.MultiOptimizer):
        problem = (
            "one optimizer, whose updates are counted. Received: a MultiOptimizer. "
            "Compile with one"
        )
    if problem is not None:
        raise RefusedError(f"quantize_aware: expected {problem}.")
    if not optimizer.built:
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)
    return keras_private.innermost(optimizer)
