"""A recipe's data and model, made and checked before anything is trained."""

import importlib
import inspect
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets
from kerascale.engine.mesh import preconditions
from kerascale.engine.scaling import scale_as_told
from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.strategies.mesh import DATA
from kerascale.strategies.model_parallel import ModelParallel

# It needs JAX, which is there where a mesh is.
_PLACING = "kerascale.engine.mesh.prepare"


def make_datasets(recipe: Recipe, config: Any) -> Datasets:
    """The recipe's data, checked."""
    datasets = recipe.make_datasets(config)
    if not isinstance(datasets, Datasets):
        raise RefusedError(
            f"recipe {recipe.name}: expected make_datasets to return "
            "kerascale.datasets.Datasets. Received: an object of type "
            f"{type(datasets).__name__}. Wrap it with kerascale.datasets.from_tf_data "
            "or from_arrays."
        )
    return datasets


def make_model(recipe: Recipe, config: Any, datasets: Datasets) -> keras.Model:
    """The recipe's model, checked to be built and compiled.

    A recipe whose model does not depend on the data may take `config` alone.
    """
    parameters = inspect.signature(recipe.make_model).parameters
    arguments = (config, datasets)[: max(1, len(parameters))]
    try:
        model = recipe.make_model(*arguments)
    except RefusedError:
        raise
    except ValueError as error:  # A patch that does not fit the image, say.
        raise RefusedError(f"recipe {recipe.name}: {error}") from error
    problems = []
    if not isinstance(model, keras.Model):
        problems.append(f"a keras.Model. Received: {type(model).__name__}")
    else:
        if not model.built:
            problems.append("a built model. Call model.build(input_shape)")
        if not model.compiled:
            problems.append("a compiled model. Call model.compile(...)")
    if problems:
        raise RefusedError(
            [
                f"recipe {recipe.name}: expected make_model to return {p}"
                for p in problems
            ]
        )
    model = scale_as_told(model)
    dtype = getattr(config, "all_reduce_dtype", "gradient")
    if dtype != "gradient":  # Else what the recipe has said.
        model.all_reduce_dtype = dtype
    _refuse_other_outputs(recipe, model, datasets)
    return model


def cut_over_mesh(model: keras.Model, strategy: Any, datasets: Datasets) -> None:
    """Cuts a model's variables, if it is for a mesh; what cannot be, is refused."""
    if isinstance(strategy, ModelParallel):
        rows = datasets.train.batch_size
        preconditions.refuse_undivided_batch(rows, strategy.mesh.of(DATA))
        say(importlib.import_module(_PLACING).place(model).text())


def _refuse_other_outputs(
    recipe: Recipe, model: keras.Model, datasets: Datasets
) -> None:
    """Holds a model to what its task gives: the metrics and the export rely on it."""
    info = datasets.info
    classes = info.num_outputs
    if not classes:
        return
    x, _ = next(iter(datasets.train.for_evaluation().dataset().take(1)))
    outputs = model(tf.nest.map_structure(lambda t: t[:2], x), training=False)
    if not keras.ops.is_tensor(outputs) or outputs.shape[1:] != (classes,):
        received = getattr(outputs, "shape", type(outputs).__name__)
        what = "probability" if info.task != "regression" else "number"
        each = "classes" if info.class_names else "targets"
        raise RefusedError(
            f"recipe {recipe.name}: expected a model with one {what} for each of "
            f"{classes} {each}: an output of shape (batch, {classes}). Received: "
            f"{received}."
        )
    if not info.class_names:
        return
    outputs = np.asarray(keras.ops.convert_to_numpy(outputs), np.float32)
    sums = outputs.sum(axis=-1)
    if (abs(sums - 1) > 1e-2).any() or (outputs < 0).any():
        raise RefusedError(
            f"recipe {recipe.name}: expected probabilities, which sum to 1. Received: "
            f"outputs that sum to {sums[0]:.4g}. End the model with a softmax, and "
            "compile without from_logits: Keras takes the logits from in front of it."
        )
