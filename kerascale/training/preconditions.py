"""What is refused before data is read."""

from typing import Any

import keras

from kerascale.config.recipes import Recipe
from kerascale.errors import RefusedError


def refuse_other_backends() -> None:
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise RefusedError(
            "kerascale trains on Keras' TensorFlow backend. Received: the backend "
            f"{backend!r}. Set KERAS_BACKEND=tensorflow, or unset it, before Python "
            "starts."
        )


def refuse_other_config(recipe: Recipe, config: Any) -> None:
    if not isinstance(config, recipe.Config):
        raise RefusedError(
            f"config: expected {recipe.name}'s Config. Received: an object of type "
            f"{type(config).__name__}."
        )
