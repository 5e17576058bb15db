"""The gradients that a training step hands to the optimizer, which keeps them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.execution import step_functions
from kerascale.engine.execution.modes import Kind, Mode


class GradientKeeper(keras.optimizers.Optimizer):
    """An optimizer that keeps each gradient, and leaves the variables as they are."""

    def __init__(self) -> None:
        super().__init__(learning_rate=1.0, name="gradient_keeper")
        self.kept: list[keras.Variable] = []

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.kept = [
            self.add_variable_from_reference(v, name="gradient") for v in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        del learning_rate
        index = keras_private.trainable_index(self, variable)
        self.assign(self.kept[index], tf.convert_to_tensor(gradient))


def of_step(
    model: keras.Model, batch: tuple[Any, ...], kind: Kind
) -> list[np.ndarray | None]:
    """The gradients that one step of `fit` hands to the optimizer, over all replicas.

    The model is afterwards as it was.

    Args:
        model: Compiled and built, with the step engine.
        batch: (x, y) or (x, y, sample_weight): the global batch.
        kind: How the step is executed.

    Returns:
        For each of `model.trainable_variables`; None where there is no gradient.
    """
    state = [(v, v.numpy()) for v in model.variables]
    variables = list(model.trainable_variables)
    with _keeping(model, variables) as keeper:
        for variable in keeper.kept:
            variable.assign(np.full(variable.shape, np.nan))
        step_functions.set_mode(model, Mode(kind, 1))
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        rows = len(tf.nest.flatten(x)[0])
        model.fit(
            x,
            y,
            sample_weight=weights,
            batch_size=rows,
            epochs=1,
            shuffle=False,
            verbose=0,
        )
        found = [kept.numpy() for kept in keeper.kept]
    for variable, value in state:
        variable.assign(value)
    # What no step has written is all NaN; a gradient that is NaN has a loss that is.
    return [None if v.size and np.isnan(v).all() else v for v in found]


@contextlib.contextmanager
def _keeping(
    model: keras.Model, variables: list[keras.Variable]
) -> Iterator[GradientKeeper]:
    """Within it the model is trained by a `GradientKeeper`."""
    attributes = vars(model)
    before = attributes["optimizer"]
    with model.distribute_strategy.scope():
        keeper = GradientKeeper()
        keeper.build(variables)
    # Past Keras' own __setattr__, which would track it.
    attributes["optimizer"] = keeper
    model.train_function = None
    try:
        yield keeper
    finally:
        attributes["optimizer"] = before
        model.train_function = None
