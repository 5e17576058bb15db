"""What of a model can be pruned: its kernels, or units and heads of its layers."""

from typing import Any

import keras

from kerascale.compression.pruning.choice import Structure
from kerascale.compression.pruning.heads import Heads
from kerascale.compression.pruning.target import Target
from kerascale.errors import RefusedError
from kerascale.models import CNN, MLP, CausalTransformer, Transformer

# Names of variables that a matrix product or a convolution takes. Embeddings are rows
# that are looked up: zeros in them save nothing.
_KERNELS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")


# In whose blocks heads and hidden units can be cut out.
_TRANSFORMERS = (Transformer, CausalTransformer)


def of(model: keras.Model, structure: Structure) -> list[Target]:
    """What of a model is pruned in some structure.

    Raises:
        RefusedError: If it has nothing of the kind.
    """
    if structure == "heads":
        return heads(model)
    return units(model) if structure == "units" else kernels(model)


def whole(model: keras.Model) -> list[Target]:
    """All that can be cut out of a model; see `units` and `heads`."""
    if isinstance(model, _TRANSFORMERS):
        return [*units(model), *(Heads.of(b.attention) for b in model.stack.blocks)]
    return units(model)


def kernels(model: keras.Model) -> list[Target]:
    """All kernels of a model."""
    found = [
        Target(v)
        for v in model.trainable_variables
        if v.name in _KERNELS and len(v.shape) >= 2
    ]
    if not found:
        raise RefusedError(
            "pruning: expected a model with kernels. Received: "
            f"{type(model).__name__}, whose trainable variables are "
            f"{', '.join(v.path for v in model.trainable_variables) or 'none'}."
        )
    return found


def units(model: keras.Model) -> list[Target]:
    """The layers whose units can be cut out: all of a chain but the last.

    Of a Transformer these are the hidden layers of its blocks.

    Raises:
        RefusedError: If a model is no such chain, or a unit without weights would not
            give zero to the next layer.
    """
    if isinstance(model, _TRANSFORMERS):
        return [
            Target(b.hidden.kernel, [b.hidden.bias], b.hidden, [], b.feedforward_output)
            for b in model.stack.blocks
        ]
    found: list[Target] = []
    current: Target | None = None
    for layer in chain(model):
        if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
            if current is not None:
                current.consumer = layer
                found.append(current)
                _refuse_other_zero(current.layer.activation, current.layer)
            bias = [layer.bias] if layer.use_bias else []
            current = Target(layer.kernel, bias, layer)
        elif isinstance(layer, keras.layers.BatchNormalization) and current:
            current.norms.append(layer)
            current.followers += [layer.gamma, *([layer.beta] if layer.center else [])]
    if not found:
        raise RefusedError(
            "prune_structure units: expected at least one hidden layer. Received: "
            f"{type(model).__name__} without. Prune single weights (unstructured)."
        )
    return found


def heads(model: keras.Model) -> list[Target]:
    """The attention layers whose heads can be cut out.

    Raises:
        RefusedError: If the model is no Transformer, or has one head.
    """
    if not isinstance(model, _TRANSFORMERS):
        raise RefusedError(
            "prune_structure heads: expected a kerascale.models.Transformer or "
            f"CausalTransformer. Received: {type(model).__name__}. Prune units, or "
            "single weights (unstructured)."
        )
    if model.stack.blocks[0].attention.num_heads < 2:
        raise RefusedError(
            "prune_structure heads: expected at least two heads in a block, of which "
            "one stays. Received: num_heads=1. Prune units."
        )
    return [Heads.of(block.attention) for block in model.stack.blocks]


_PASSING = (
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.InputLayer,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
)


def chain(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model in which each takes what the one before it gives."""
    if isinstance(model, MLP) and model.members == 1:
        return [*model.hidden, model.logits]
    if isinstance(model, CNN) and not model.residual:
        convolutions = [c for b in model.blocks for c in (b.first, b.second)]
        return [*convolutions, model.to_vector, *model.dense, model.logits]
    if isinstance(model, keras.Sequential):
        layers = list(model.layers)
        _refuse_other_layers(layers)
        return layers
    kind = "a residual CNN" if isinstance(model, CNN) else type(model).__name__
    kind = "an MLP of several members" if isinstance(model, MLP) else kind
    raise RefusedError(
        "prune_structure units: expected a chain of layers: the models MLP and CNN "
        "(not residual), a Transformer, or a keras.Sequential of dense layers, 2-D "
        f"convolutions, batch normalization and pooling. Received: {kind}. Prune "
        "single weights (unstructured, or 2:4)."
    )


def _refuse_other_layers(layers: list[keras.layers.Layer]) -> None:
    problems = []
    weighted = (keras.layers.Dense, keras.layers.Conv2D)
    last = max((i for i, x in enumerate(layers) if isinstance(x, weighted)), default=-1)
    first = min((i for i, x in enumerate(layers) if isinstance(x, weighted)), default=0)
    for i, layer in enumerate(layers):
        if i < first or i > last:
            continue
        if isinstance(layer, keras.layers.Activation | keras.layers.ReLU):
            _refuse_other_zero(layer, layer)
        is_grouped = getattr(layer, "groups", 1) != 1
        first_axis = getattr(layer, "data_format", None) == "channels_first"
        norm = keras.layers.BatchNormalization
        known = isinstance(layer, (*_PASSING, *weighted, norm))
        no_scale = not getattr(layer, "scale", True)
        if not known or is_grouped or first_axis or no_scale:
            what = " with groups" * is_grouped + " with channels first" * first_axis
            what += " with scale=False" * no_scale
            problems.append(
                f"{layer.name}: expected a dense layer, a 2-D convolution, batch "
                "normalization, an activation, dropout or pooling. Received: "
                f"{type(layer).__name__}{what}"
            )
    if problems:
        raise RefusedError(problems, heading="prune_structure units")


def _refuse_other_zero(function: Any, layer: Any) -> None:
    """A unit that gives something without weights cannot be cut out."""
    given = function(keras.ops.zeros((1, 1)))
    at_zero = float(keras.ops.convert_to_numpy(given).reshape(()))
    if abs(at_zero) > 1e-12:
        raise RefusedError(
            "prune_structure units: expected activations that are 0 at 0, as relu or "
            f"tanh. Received: that of {layer.name}, which is {at_zero:.3g} there."
        )
