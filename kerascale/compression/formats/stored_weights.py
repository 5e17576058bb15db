"""A SavedModel whose weights are kept in fewer bits, and computed in float32.

Any Keras model can be kept so, whatever its layers are: the graph reads each variable
through a cast. `keras.Model.quantize` changes layers of a few classes alone, and leaves
convolutions, subclasses and layers within layers as they were.
"""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.compression.formats import rounding
from kerascale.serving.interface import Interface


@dataclasses.dataclass(frozen=True)
class StoredInterface(Interface):
    """How a model is called by name, where its variables are read through a cast.

    Args:
        stored: Pairs of a variable of the model, and what makes its value.
    """

    stored: tuple[tuple[Any, Any], ...] = ()

    def call(self, *inputs: Any) -> dict[str, tf.Tensor]:
        mapping = [(variable, value()) for variable, value in self.stored]
        with keras.StatelessScope(state_mapping=mapping):
            return super().call(*inputs)


class WeightStore:
    """Values in fewer bits for the variables of a model, each of them kept once.

    Args:
        level: `float16` or `int8-weights`; of any other they stay as they are.
    """

    def __init__(self, level: str) -> None:
        self._level = level
        self._values: dict[int, Any] = {}

    def interface(self, face: Interface) -> Interface:
        """The same interface on these values; several may share them."""
        if self._level not in ("float16", "int8-weights"):
            return face
        variables = {id(v): v for v in face.model.variables}
        stored = []
        for key, variable in variables.items():
            if key not in self._values:
                self._values[key] = self._value(variable)
            if self._values[key] is not None:
                stored.append((variable, self._values[key]))
        names = [field.name for field in dataclasses.fields(Interface)]
        values = {name: getattr(face, name) for name in names}
        return StoredInterface(**values, stored=tuple(stored))

    def _value(self, variable: Any) -> Any:
        array = np.asarray(variable)
        if not rounding.is_worth_it(array):
            return None
        if self._level == "float16":
            kept = tf.Variable(array.astype(np.float16), trainable=False)
            return functools.partial(_as_float32, kept)
        integers, scale = rounding.to_int8(array, axis=-1)
        kept = tf.Variable(integers, trainable=False)
        scales = tf.Variable(scale, trainable=False)
        return functools.partial(_scaled, kept, scales)


def _as_float32(kept: tf.Variable) -> tf.Tensor:
    return tf.cast(kept, tf.float32)


def _scaled(kept: tf.Variable, scales: tf.Variable) -> tf.Tensor:
    return tf.cast(kept, tf.float32) * scales
