"""`kerascale.Model` and `kerascale.scale`: Keras models with our step engine."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.errors import RefusedError


class Engine:
    """The engine as a mix-in, put before a `keras.Model` class.

    On one device it is plain Keras. It stands at Keras' own extension points, and
    refuses what it cannot do right: training on more than one replica.
    """

    def make_train_function(self, force: bool = False) -> Any:
        _refuse_replicas(self.distribute_strategy)
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        _refuse_replicas(self.distribute_strategy)
        return super().make_test_function(force)


class Model(Engine, keras.Model):
    """A `keras.Model` to subclass, with the kerascale step engine.

    Use it as `keras.Model` is used for subclassing. For a functional model write
    `kerascale.scale(keras.Model(inputs, outputs))`.

    Example:

    ```python
    class Classifier(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.dense(x)
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Keras takes these arguments for a functional model, and would rewrite the
        # bases of this class, and with them every later subclass.
        if len(args) >= 2 or {"inputs", "outputs"} & set(kwargs):
            raise RefusedError(
                "kerascale.Model is for subclassing. Expected: a functional model "
                "built with Keras and then scaled. Received: "
                f"{type(self).__name__}(inputs, outputs). Write "
                "kerascale.scale(keras.Model(inputs, outputs))."
            )
        super().__init__(*args, **kwargs)


# Class of a plain model -> the same class with the engine in front of it.
_scaled_classes: dict[type, type] = {}


def scale(model: keras.Model) -> keras.Model:
    """Gives the step engine to any Keras model, in place.

    The model keeps its layers, weights and compilation. Saved with `model.save`,
    it loads in plain Keras.

    Args:
        model: A Functional, Sequential or subclassed `keras.Model`.

    Returns:
        The same object.

    Raises:
        RefusedError: If `model` is not a `keras.Model`.

    Example:

    ```python
    model = ks.scale(keras.Sequential([keras.layers.Dense(10)]))
    ```
    """
    if not isinstance(model, keras.Model):
        raise RefusedError(
            "scale() expected a keras.Model. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    if isinstance(model, Engine):
        return model
    plain = type(model)
    if plain not in _scaled_classes:
        # Keras writes a model's class name and module into the saved file: with
        # the plain class's own, plain Keras can load it.
        names = {
            "__module__": plain.__module__,
            "__qualname__": plain.__qualname__,
            "__doc__": plain.__doc__,
        }
        _scaled_classes[plain] = type(plain.__name__, (Engine, plain), names)
    model.__class__ = _scaled_classes[plain]
    return model


def _refuse_replicas(strategy: tf.distribute.Strategy) -> None:
    if strategy.num_replicas_in_sync == 1:
        return
    raise RefusedError(
        "This version trains on one device. Expected: one replica. Received: "
        f"{strategy.num_replicas_in_sync} replicas of "
        f"{type(strategy).__name__}. Create and fit the model outside the "
        "strategy's scope."
    )
