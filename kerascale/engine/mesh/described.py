"""The variables of a model, as the rules of a layout see them. It needs no JAX."""

import keras
import numpy as np

from kerascale.engine.compat import keras_private
from kerascale.strategies import layouts
from kerascale.strategies.model_parallel import ModelParallel

# That NumPy does not know.
_ITEM_SIZES = {"bfloat16": 2}


def describe(model: keras.Model) -> list[layouts.Described]:
    """The variables of a model, as rules see them."""
    owners = {}
    for layer in keras_private.all_layers(model):
        for variable in (*layer.trainable_variables, *layer.non_trainable_variables):
            owners[id(variable)] = layer  # The innermost comes last.
    seeds = {
        id(g.state)
        for layer in keras_private.all_layers(model)
        for g in keras_private.seed_generators(layer)
    }
    return [
        layouts.Described(
            variable.path,
            tuple(variable.shape),
            _ITEM_SIZES.get(variable.dtype) or np.dtype(variable.dtype).itemsize,
            owners.get(id(variable)),
            id(variable) in seeds,
        )
        for variable in of_model(model)
    ]


def of_model(model: keras.Model) -> list[keras.Variable]:
    """The variables of a model, without those of its metrics."""
    metrics = {id(v) for metric in model.metrics for v in metric.variables}
    return [v for v in model.variables if id(v) not in metrics]


def assigned(model: keras.Model, strategy: ModelParallel) -> list[layouts.Placement]:
    """How each variable of a built model is cut.

    Raises:
        RefusedError: Naming all that is wrong with the layout.
    """
    names = tuple(kind.__name__ for kind in type(model).__mro__)
    return layouts.assign(
        describe(model),
        strategy.rules_for(names),
        strategy.mesh,
        fully_sharded=strategy.fully_sharded,
    )
