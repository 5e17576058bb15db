"""Activations that are computed once more for the gradient, instead of being kept.

[Chen et al., 2016](https://arxiv.org/abs/1604.06174), by `jax.checkpoint`: of what lies
in a layer that is chosen nothing is kept but its inputs. With `fsdp` its weights are
put together within it, and once more for the gradient.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import jax
import keras

from kerascale.config import Remat
from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError

# Classes of `kerascale.layers`, which stands above.
_BLOCKS = ("TransformerBlock", "ConvolutionBlock", "ResidualBlock")


def refuse(model: keras.Model) -> None:
    """Refuses a wish that cannot be followed.

    Raises:
        RefusedError: If it is none that is known, or the model has no blocks.
    """
    wish = getattr(model, "remat", "none")
    if wish not in get_args(Remat):
        raise RefusedError(
            f"remat: expected one of {', '.join(get_args(Remat))}. Received: {wish!r}."
        )
    if wish == "block" and not _chosen(model):
        raise RefusedError(
            f"remat: block expects layers that are blocks: {', '.join(_BLOCKS)}. "
            f"Received: {model.name}, which has none. Use full, or none."
        )


@contextlib.contextmanager
def applied(
    model: keras.Model, layouts: Mapping[int, jax.sharding.Sharding]
) -> Iterator[None]:
    """Within it the model is called so, as its attribute `remat` says.

    Args:
        model: Built. `block`: each block is a piece; `full`: every layer with
            variables is one too, within blocks and beside them.
        layouts: Identity of a variable -> how a step computes with it, where that is
            another layout than its own.
    """
    layers = _chosen(model)
    for layer in layers:
        vars(layer)["call"] = _computed_again(layer, layer.call, layouts)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["call"]


def held(model: keras.Model) -> set[int]:
    """The identities of the variables of layers that are chosen."""
    return {id(v) for layer in _chosen(model) for v in layer.trainable_variables}


def _chosen(model: keras.Model) -> list[keras.layers.Layer]:
    wish = getattr(model, "remat", "none")
    if wish == "none":
        return []
    return [
        layer
        for layer in keras_private.all_layers(model)
        if layer is not model
        and (_is_block(layer) or (wish == "full" and layer.variables))
    ]


def _is_block(layer: keras.layers.Layer) -> bool:
    return any(kind.__name__ in _BLOCKS for kind in type(layer).__mro__)


def _computed_again(
    layer: keras.layers.Layer,
    plain: Any,
    layouts: Mapping[int, jax.sharding.Sharding],
) -> Any:
    """The call of a layer, whose variables go in and come out as values."""

    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
        variables = layer.trainable_variables, layer.non_trainable_variables

        def run(values: Any, arrays: list[jax.Array]) -> Any:
            own = list(leaves)
            for place, array in zip(places, arrays, strict=True):
                own[place] = array
            args, kwargs = jax.tree.unflatten(structure, own)
            pairs = [
                (variable, _laid(value, layouts.get(id(variable))))
                for group, each in zip(variables, values, strict=True)
                for variable, value in zip(group, each, strict=True)
            ]
            with keras.StatelessScope(pairs) as scope:
                outputs = plain(*args, **kwargs)
            changed = [scope.get_current_value(v) for v in variables[1]]
            return outputs, changed

        outputs, changed = jax.checkpoint(run)(
            tuple([v.value for v in group] for group in variables),
            [leaves[place] for place in places],
        )
        for variable, value in zip(variables[1], changed, strict=True):
            variable.assign(value)
        return outputs

    return call


def _laid(value: jax.Array, layout: jax.sharding.Sharding | None) -> jax.Array:
    if layout is None:
        return value
    return jax.lax.with_sharding_constraint(value, layout)
