"""The loss of a batch as a function of variables and inputs, on one device."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.trust.gradients.numeric import Moved


class BatchLoss:
    """What a model's training makes small, without its engine.

    It is computed as Keras does it, of the whole batch at once, in training mode. What
    layers draw is the same each time, and nothing that the model holds is changed.

    Args:
        model: Compiled and built.
        batch: (x, y) or (x, y, sample_weight), NumPy arrays.
    """

    def __init__(self, model: keras.Model, batch: tuple[Any, ...]) -> None:
        self._model = model
        x, self._y, self._weights = keras.utils.unpack_x_y_sample_weight(batch)
        self._x = x
        self._flat = [tf.constant(a) for a in tf.nest.flatten(x)]
        # Traced at once: TensorFlow warns of functions that are made again and again.
        graph = tf.function(self._of, autograph=False)
        self._compute = graph.get_concrete_function(self._flat)

    @property
    def inputs(self) -> list[tuple[int, str, np.ndarray]]:
        """(place, name, value) of each input that is a float."""
        names = _names(self._x)
        return [
            (i, names[i], t.numpy())
            for i, t in enumerate(self._flat)
            if t.dtype.is_floating
        ]

    def _of(self, flat: Sequence[tf.Tensor]) -> tf.Tensor:
        model = self._model
        x = tf.nest.pack_sequence_as(self._x, list(flat))
        with keras_private.Aside([]):
            outputs = keras_private.call(model, x, training=True)
            loss = keras_private.compute_loss(
                model, x, self._y, outputs, self._weights, training=True
            )
        return tf.reduce_mean(loss)

    def __call__(self) -> float:
        return float(self._compute(*self._flat))

    def moved_by(self, variable: keras.Variable) -> Moved:
        """The loss with a variable moved."""
        here = variable.numpy()

        def moved(by: np.ndarray) -> float:
            variable.assign(here + by)
            try:
                return self()
            finally:
                variable.assign(here)

        return moved

    def moved_by_input(self, place: int) -> Moved:
        """The loss with an input moved."""
        here = self._flat[place]

        def moved(by: np.ndarray) -> float:
            flat = list(self._flat)
            flat[place] = here + tf.cast(by, here.dtype)
            return float(self._compute(*flat))

        return moved

    def input_gradients(self) -> dict[int, np.ndarray | None]:
        """By place, automatic; None where there is none."""
        places = [place for place, *_ in self.inputs]

        def gradients(flat: Sequence[tf.Tensor]) -> Any:
            with tf.GradientTape() as tape:
                tape.watch([flat[place] for place in places])
                loss = self._of(flat)
            return tape.gradient(loss, [flat[place] for place in places])

        if not places:
            return {}
        graph = tf.function(gradients, autograph=False)
        found = graph.get_concrete_function(self._flat)(*self._flat)
        return {
            place: None if g is None else tf.convert_to_tensor(g).numpy()
            for place, g in zip(places, found, strict=True)
        }


def _names(x: Any) -> list[str]:
    if isinstance(x, dict):
        return [f"input {name}" for name in sorted(x)]
    count = len(tf.nest.flatten(x))
    return ["input"] if count == 1 else [f"input {i}" for i in range(count)]
