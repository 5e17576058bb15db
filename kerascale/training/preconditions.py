"""What is refused before data is read."""

from typing import Any

import keras

from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets
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


def refuse_undivided(config: Any, datasets: Datasets) -> None:
    """Refuses data of a recipe's own that knows nothing of folds, where they are asked.

    Raises:
        RefusedError: If the whole would be trained on as if it were a fold.
    """
    if getattr(config, "folds", None) is not None and datasets.fold is None:
        raise RefusedError(
            "folds: expected data that kerascale divides. Received: that of the "
            "recipe or of the caller, which is whole. Make it by "
            "kerascale.datasets.from_config or from_arrays, or leave folds out."
        )
