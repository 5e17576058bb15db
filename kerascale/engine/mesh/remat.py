"""What a training step computes again for its gradient, instead of keeping it.

[Chen et al., 2016](https://arxiv.org/abs/1604.06174): of a layer that is computed again
its inputs are kept alone. Weights that are cut along `data` are put together within it,
and again with it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras

from kerascale.engine.compat import keras_jax, keras_private
from kerascale.engine.mesh import calls
from kerascale.errors import RefusedError
from kerascale.strategies.model_parallel import Remat

# A barrier holds back what is computed again until its gradient is due. XLA on a CPU
# takes barriers away before it orders operations, and orders these as early as it can.
_CPU_OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def refuse_without_blocks(model: keras.Model, remat: Remat) -> None:
    """Refuses `block` for a model that has none.

    Raises:
        RefusedError: If so.
    """
    if remat == "block" and not any(map(_is_block, keras_private.all_layers(model))):
        raise RefusedError(
            "remat: expected none or full for a model without blocks. Received: "
            f"'block' for {type(model).__name__}. Blocks are those of Transformers, "
            "and layers of your own whose class has the attribute is_block = True."
        )


def compiler_options(remat: Remat) -> dict[str, str] | None:
    """Options of XLA for a program that computes again; None: its defaults."""
    on_cpu = jax.devices()[0].platform == "cpu"
    return dict(_CPU_OPTIONS) if remat != "none" and on_cpu else None


class Recomputed:
    """The layers of a model that are computed again.

    Args:
        model: Built.
        remat: `block`: each of its blocks; `full`: each layer, those directly in a
            block once more within it.
        layouts: id of a variable -> how it lies while a step computes with it.
    """

    def __init__(
        self, model: keras.Model, remat: Remat, layouts: dict[int, Any]
    ) -> None:
        layers = _chosen(model, remat)
        # A layer in a block puts its own weights together, not all of the block's.
        owner = {id(v): layer for layer in layers for v in layer.trainable_variables}
        self._layers = [
            (
                layer,
                {
                    id(v): layouts[id(v)]
                    for v in layer.trainable_variables
                    if owner[id(v)] is layer and layouts.get(id(v)) is not None
                },
            )
            for layer in layers
        ]
        # ids of variables that lie right within their layer.
        self.inside = {key for _, own in self._layers for key in own}

    @contextlib.contextmanager
    def traced(self) -> Iterator[None]:
        """Within it a program is traced that computes them again."""
        with calls.wrapped(
            (layer, functools.partial(_again, layer, layouts=own))
            for layer, own in self._layers
        ):
            yield


def _again(
    layer: keras.layers.Layer, call: calls.Call, layouts: dict[int, Any]
) -> Callable[..., Any]:
    def lay(values: dict[int, Any]) -> dict[int, Any]:
        return values | {
            key: jax.lax.with_sharding_constraint(values[key], layout)
            for key, layout in layouts.items()
        }

    @functools.wraps(call)
    def computed(*args: Any, **kwargs: Any) -> Any:
        return keras_jax.recomputed(layer, lambda: call(*args, **kwargs), lay)

    return computed


def _is_block(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "is_block", False)


def _chosen(model: keras.Model, remat: Remat) -> list[keras.layers.Layer]:
    """Those that are computed again; a block stands before what is in it."""
    if remat == "none":
        return []
    if remat == "block":
        return [each for each in keras_private.all_layers(model) if _is_block(each)]
    return list({id(layer): layer for layer in _all_within(model)}.values())


def _all_within(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    for own in keras_private.direct_layers(layer):
        if _is_block(own):
            yield own
            yield from keras_private.direct_layers(own)
        elif isinstance(own, keras.Model) or any(
            map(_is_block, keras_private.all_layers(own))
        ):
            yield from _all_within(own)
        elif not isinstance(own, keras.layers.InputLayer):
            yield own
