"""What is checked: a model in float64 and a batch of what it is trained on."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.config import recipes
from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets
from kerascale.runs import layout
from kerascale.runs.run import Run, load_run
from kerascale.training import build, changes, seeding

# Of each variable's size, or of a variable that is zero: so that no ReLU is exactly at
# its kink, where a derivative is a matter of taste.
_AWAY = 1e-2


@dataclasses.dataclass(frozen=True)
class Subject:
    """A recipe or a run, ready to make models of.

    Args:
        name: For a person.
        recipe: The recipe.
        config: Its configuration.
        datasets: Its data.
        batch: (x, y) or (x, y, sample_weight), NumPy arrays.
        weights: Of a run's model; None: those that the recipe begins with.
        notes: What a reader must know.
    """

    name: str
    recipe: Recipe
    config: Any
    datasets: Datasets
    batch: tuple[Any, ...]
    weights: list[np.ndarray] | None
    notes: tuple[str, ...]

    def model(self, strategy: tf.distribute.Strategy | None = None) -> keras.Model:
        """The model, at a point near its weights, which is always the same."""
        seeding.seed(self.config)
        scope = contextlib.nullcontext() if strategy is None else strategy.scope()
        with scope:
            model = build.make_model(self.recipe, self.config, self.datasets)
        if self.weights is not None:
            model.set_weights(self.weights)
        move_away(model)
        return model


def is_run(target: Any) -> bool:
    """Whether it names a run folder."""
    if not isinstance(target, str | os.PathLike):
        return isinstance(target, Run)
    return (pathlib.Path(target) / layout.CONFIG).is_file()


def find(target: Any, config: Any, examples: int) -> Subject:
    """The subject of a recipe or a run.

    Args:
        target: A recipe, as `load_recipe` takes it; a run, or its folder.
        config: Of the recipe; None: its defaults. Of a run, its own.
        examples: In the batch.
    """
    weights = None
    if is_run(target):
        run = target if isinstance(target, Run) else load_run(target)
        recipe, config = recipes.load_recipe(run.recipe), run.config
        weights = run.model.get_weights()
        name = str(run.path)
    else:
        recipe = recipes.load_recipe(target)
        config = recipe.Config() if config is None else config
        name = recipe.name
    seeding.seed(config)
    datasets = build.make_datasets(recipe, config)
    batch, notes = _batch(datasets, examples)
    return Subject(
        name, recipe, config, datasets, batch, weights, (*notes, *_left_out(config))
    )


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Within it Keras makes layers that compute in float64."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def _batch(datasets: Datasets, examples: int) -> tuple[tuple[Any, ...], list[str]]:
    """The first examples that training sees, those of pictures as floats."""
    first = next(iter(datasets.train.dataset().take(1)))
    arrays = tf.nest.map_structure(lambda t: np.asarray(t)[:examples], tuple(first))
    x, *rest = arrays
    is_picture = datasets.info.kind == "image"
    x = tf.nest.map_structure(lambda a: as_moved(a, whole_too=is_picture), x)
    rows = len(tf.nest.flatten(x)[0])
    notes = [] if rows == examples else [f"a batch has {rows} examples"]
    return (x, *rest), notes


def as_moved(array: np.ndarray, *, whole_too: bool = False) -> np.ndarray:
    """Inputs in float64, away from ties; whole numbers as they are, unless told."""
    if array.dtype.kind != "f" and not (whole_too and array.dtype.kind in "iu"):
        return array
    wide = array.astype(np.float64)
    spread = float(wide.std()) or 1.0
    random = np.random.default_rng(1)
    return wide + random.normal(size=wide.shape) * 1e-3 * spread


def move_away(model: keras.Model) -> None:
    """Moves each variable a little, by what its place decides."""
    random = np.random.default_rng(2)
    for variable in model.trainable_variables:
        value = variable.numpy()
        if value.dtype.kind != "f":
            continue
        size = float(np.sqrt(np.mean(value.astype(np.float64) ** 2))) or 1.0
        variable.assign(value + random.normal(size=value.shape) * _AWAY * size)


def _left_out(config: Any) -> list[str]:
    """What such a training has beside its recipe, and the check has not."""
    names = [name for name in changes.FIELDS if getattr(config, name, None)]
    if not names:
        return []
    return [
        f"{', '.join(names)}: what it adds to a step is not checked; the recipe's own "
        "loss and layers are"
    ]
