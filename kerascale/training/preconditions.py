"""What is refused before data is read."""

from typing import Any

import keras

from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets, folds
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
    """Refuses data of a recipe's own where fields say how data is to be divided.

    Raises:
        RefusedError: Naming each such field, which would be ignored.
    """
    known = datasets.divided_by or {}
    asked = {n: getattr(config, n, None) for n in folds.FIELDS}
    given = [n for n, v in asked.items() if v is not None and v != known.get(n)]
    holds_out = getattr(config, "hold_out_validation", True)
    if not holds_out and datasets.validation is not None:
        given.append("hold_out_validation")
    if given:
        raise RefusedError(
            [
                f"{name}: expected with data that kerascale divides. Received: "
                f"{getattr(config, name)!r} with data of the recipe or of the caller, "
                "which is divided already. Make it by kerascale.datasets.from_config "
                f"or from_arrays, or leave {name} out"
                for name in given
            ],
            heading="fields that this data has no use for",
        )
