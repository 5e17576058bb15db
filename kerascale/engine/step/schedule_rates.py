"""Learning rates of a schedule, computed in front of what XLA compiles.

A rate is float32 whatever the precision of the model, and XLA's `cos` and `pow` differ
from TensorFlow's in its last bit. Computed outside, a step has the same rate in every
mode of execution. It is where weights are float64; elsewhere that bit is one rounding
of many, and a step's rate is computed with the step.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.step import optimizer_view

# The count of updates of the first rate, and the rates from there on; empty: there is
# no schedule.
Ahead = tuple[tf.Tensor, tf.Tensor] | tuple[()]


class Rates:
    """Those of a model's optimizer.

    Args:
        model: Compiled and built. The parts of a `MultiOptimizer` compute their rates
            with the step.
    """

    def __init__(self, model: keras.Model) -> None:
        self._optimizer = self._schedule = None
        if model.optimizer is None:
            return
        if not any(v.dtype == "float64" for v in model.trainable_variables):
            return
        self._optimizer = keras_private.innermost(model.optimizer)
        if not isinstance(self._optimizer, keras.optimizers.MultiOptimizer):
            self._schedule = keras_private.schedule_of(self._optimizer)

    def ahead(self, num: int) -> Ahead:
        """Traces the rates of the next updates.

        Args:
            num: How many.
        """
        if self._schedule is None:
            return ()
        first = tf.convert_to_tensor(self._optimizer.iterations)
        one = tf.convert_to_tensor(self._schedule(first))
        if num == 1:
            return first, one[tf.newaxis]
        counts = first + tf.range(num, dtype=first.dtype)
        return first, tf.map_fn(
            lambda count: tf.convert_to_tensor(self._schedule(count)),
            counts,
            fn_output_signature=one.dtype,
        )

    @contextlib.contextmanager
    def given(self, ahead: Ahead) -> Iterator[None]:
        """Within it, updates that are traced take these rates."""
        if not ahead:
            yield
            return
        first, rates = ahead

        def rate(count: keras.Variable) -> tf.Tensor:
            # Not `rates[...]`: for a slice XLA compiles anew whenever `first` changes.
            return tf.gather(rates, tf.convert_to_tensor(count) - first)

        with optimizer_view.instead_of_schedule(self._schedule, rate):
            yield
