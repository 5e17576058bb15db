"""`cut`: a smaller model without the units that pruning has put to zero."""

from typing import Any

import keras
import numpy as np

from kerascale.compression.pruning import targets
from kerascale.compression.pruning.heads import Heads
from kerascale.compression.pruning.target import Target
from kerascale.engine.scaling import scale_as_told
from kerascale.errors import RefusedError
from kerascale.models import CNN, MLP, CausalTransformer, Classifier, Transformer


def cut(model: keras.Model) -> keras.Model:
    """Takes units and heads without weights out of a model, which computes the same.

    Args:
        model: An `MLP`, a `CNN` that is not residual, a `Transformer`, a
            `CausalTransformer`, or a `keras.Sequential` of dense layers, 2-D
            convolutions, batch normalization and pooling; pruned with the structure
            `units` or `heads`.

    Returns:
        A model of the same class with fewer units or heads. It is compiled if `model`
        is, with a new optimizer.

    Raises:
        RefusedError: If the model is none of these.
    """
    found = targets.whole(model)
    kept = [target.whole_norms() > 0 for target in found]
    counts = [max(1, int(k.sum())) for k in kept]
    with model.distribute_strategy.scope():
        smaller, counts = _smaller(model, found, counts)
        smaller.build(_input_shape(model))
    shrinking: dict[int, list[tuple[int, np.ndarray]]] = {}
    for target, count in zip(found, counts, strict=True):
        # Stages have one number of filters, and blocks one of heads: of equal ones,
        # more may stay.
        strongest = np.argsort(-target.whole_norms(), kind="stable")[:count]
        for variable, axis, indices in target.slices(np.sort(strongest)):
            shrinking.setdefault(id(variable), []).append((axis, indices))
    for old, new in zip(model.variables, smaller.variables, strict=True):
        value = np.asarray(keras.ops.convert_to_numpy(old))
        for axis, indices in shrinking.get(id(old), ()):
            value = np.take(value, indices, axis=axis)
        new.assign(value)
    with model.distribute_strategy.scope():
        if model.compiled:
            smaller.compile_from_config(model.get_compile_config())
            smaller = scale_as_told(smaller)
    return smaller


def _input_shape(model: keras.Model) -> tuple[int | None, ...]:
    if isinstance(model, Classifier):
        return tuple(model.input_spec.shape)
    return tuple(model.input_shape)


def _smaller(
    model: keras.Model, found: list[Target], counts: list[int]
) -> tuple[keras.Model, list[int]]:
    """A model with so many units in each layer, and how many these are."""
    if isinstance(model, MLP):
        config = {**model.get_config(), "units": counts}
        return MLP.from_config(config), counts
    if isinstance(model, CNN):
        per_stage = 2 * model.blocks_per_stage
        stages = len(model.filters)
        filters = [
            max(counts[i * per_stage : (i + 1) * per_stage]) for i in range(stages)
        ]
        dense = counts[stages * per_stage :]
        config: dict[str, Any] = {**model.get_config(), "filters": filters}
        if dense:
            config["dense_units"] = dense[0]
        own = [f for f in filters for _ in range(per_stage)]
        return CNN.from_config(config), [*own, *dense]
    if isinstance(model, Transformer | CausalTransformer):
        return _smaller_transformer(model, found, counts)
    if isinstance(model, keras.Sequential):
        config = model.get_config()
        names = {t.layer.name: c for t, c in zip(found, counts, strict=True)}
        for entry in config["layers"]:
            own = entry["config"]
            if own.get("name") in names:
                size = "units" if "units" in own else "filters"
                own[size] = names[own["name"]]
        for entry in config["layers"]:
            entry.pop("build_config", None)
        config.pop("build_input_shape", None)
        return keras.Sequential.from_config(config), counts
    raise RefusedError(f"cut: expected a chain of layers. Received: {model!r}.")


def _smaller_transformer(
    model: Transformer | CausalTransformer, found: list[Target], counts: list[int]
) -> tuple[keras.Model, list[int]]:
    """The same of a Transformer, whose blocks are equal."""
    is_heads = [isinstance(target, Heads) for target in found]
    pairs = list(zip(is_heads, counts, strict=True))
    heads = max(count for is_head, count in pairs if is_head)
    units = max(count for is_head, count in pairs if not is_head)
    config = {**model.get_config(), "feedforward_width": units}
    attention = model.stack.blocks[0].attention
    if heads < attention.num_heads:
        config |= {"num_heads": heads, "head_size": attention.head_size}
    position = model.stack.position
    if config["max_length"] is None and hasattr(position, "max_length"):
        config["max_length"] = position.max_length
    smaller = type(model).from_config(config)
    return smaller, [heads if is_head else units for is_head in is_heads]
