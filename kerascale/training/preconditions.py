"""What is refused before data is read."""

from typing import Any

import keras

from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets, folds
from kerascale.errors import RefusedError
from kerascale.strategies import model_parallel
from kerascale.strategies.model_parallel import ModelParallel
from kerascale.training import changes


def refuse_other_backends(strategy: Any = "auto") -> None:
    """Refuses a backend that does not have the strategy."""
    backend = keras.config.backend()
    on_mesh = isinstance(strategy, ModelParallel) or strategy in model_parallel.NAMES
    if backend == "jax" and not on_mesh:
        raise RefusedError(
            "strategy: expected model_parallel or fsdp on Keras' JAX backend. "
            f"Received: {strategy!r}. Pass one of them with a mesh, or unset "
            "KERAS_BACKEND before Python starts."
        )
    if backend not in ("tensorflow", "jax"):
        raise RefusedError(
            "kerascale trains on Keras' TensorFlow backend, and models larger than a "
            f"device on that of JAX. Received: the backend {backend!r}. Set "
            "KERAS_BACKEND=tensorflow, or unset it, before Python starts."
        )


def refuse_on_a_mesh(config: Any, strategy: Any) -> None:
    """Refuses what trains on TensorFlow alone, where a mesh is asked for.

    Raises:
        RefusedError: Naming each such field.
    """
    if not isinstance(strategy, ModelParallel):
        return
    asked = {n: getattr(config, n, None) for n in changes.FIELDS}
    problems = [
        f"{name}: expected none with the strategy {strategy.name}: that change of a "
        f"training is made for TensorFlow. Received: {value!r}. Leave it out, or train "
        "with --strategy mirrored or one_device"
        for name, value in asked.items()
        if value
    ]
    execution = getattr(config, "execution", "auto")
    if execution in ("split", "compiled", "loop"):
        problems.append(
            f"execution: expected auto, fixed or one_program on a mesh, where steps "
            f"are one program. Received: {execution!r}. Leave it out"
        )
    if problems:
        raise RefusedError(problems, heading=f"strategy {strategy.name}")


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
