"""What `pickle` and `copy` take of a model, and make of it."""

from typing import Any

import keras

from kerascale.engine.compat import keras_private

# What `scale` and a user set of a model.
_SET = (
    "execution",
    "all_reduce_dtype",
    "check",
    "_kerascale_check",
    "_kerascale_batch_statistics",
)


def kept(model: keras.Model) -> tuple[Any, dict[str, Any]]:
    """The `.keras` file of a model, as Keras pickles it, and what was set of it."""
    own = {name: vars(model)[name] for name in _SET if name in vars(model)}
    return keras_private.pickled(model), own


def restored(engine: type, file: Any, own: dict[str, Any]) -> keras.Model:
    """A model of what `kept` gave, with the engine again."""
    model = keras_private.unpickled(file)
    keras_private.adopt_class(model, engine, behind=True)
    vars(model).update(own)
    return model
