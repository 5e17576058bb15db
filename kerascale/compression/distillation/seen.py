"""What layers inside of a model give, seen while the model is called."""

import contextlib
import dataclasses
from typing import Any

import keras

from kerascale.engine.compat import keras_private
from kerascale.engine.step.collector import Collector
from kerascale.layers import SelfAttention

# An attribute of a layer: a trained variable that is no part of its model.
_GUEST = "_kerascale_projection"

_seen: Collector[dict[int, "Given"]] = Collector(dict)


class Seen:
    """Put in front of a layer's class: what it gives is told to who looks.

    It may hold a variable that trains with the model, and is not saved with it.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super().__call__(*args, **kwargs)
        if not isinstance(self, SelfAttention):
            _tell(self, outputs, getattr(outputs, "_keras_mask", None))
        return outputs

    def weigh(self, query: Any, key: Any, mask: Any) -> Any:
        """Of an attention layer: its weights are what is seen."""
        weights = super().weigh(query, key, mask)
        _tell(self, weights, mask)
        return weights

    def save_own_variables(self, store: Any) -> None:
        with keras_private.hidden(self, guests_of(self)):
            super().save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        with keras_private.hidden(self, guests_of(self)):
            super().load_own_variables(store)


@dataclasses.dataclass(frozen=True)
class Given:
    """What a layer gave.

    Args:
        values: A tensor; its first axis is that of rows.
        mask: Boolean, (batch, length): which positions are no padding; or None.
    """

    values: Any
    mask: Any


def adopt(layer: keras.layers.Layer) -> None:
    """Lets what a layer gives be seen."""
    keras_private.adopt_class(layer, Seen)


def guests_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The variables that it holds beside its own."""
    return list(vars(layer).get(_GUEST, ()))


def add_guest(layer: keras.layers.Layer, **arguments: Any) -> keras.Variable:
    """Gives a layer a variable that trains with its model, and is not saved."""
    variable = keras_private.add_variable(layer, **arguments)
    # Past Keras' own __setattr__, which would track it.
    vars(layer)[_GUEST] = [*guests_of(layer), variable]
    return variable


def remove_guests(layer: keras.layers.Layer) -> None:
    for variable in guests_of(layer):
        keras_private.remove_variable(layer, variable)
    vars(layer).pop(_GUEST, None)


def looking() -> contextlib.AbstractContextManager[dict[int, Given]]:
    """Within it, in this thread: `id` of each seen layer -> what it gave last."""
    return _seen.collecting()


def _tell(layer: keras.layers.Layer, values: Any, mask: Any) -> None:
    if _seen.box is not None:
        _seen.box[id(layer)] = Given(values, mask)
