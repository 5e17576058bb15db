"""What a served model takes and gives: names and shapes that stay from version to
version."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError

# Names that Keras makes up. They count on in a process, so another run has others.
_MADE_UP_INPUT = re.compile(r"(keras_tensor|input_layer)(_\d+)?")


@dataclasses.dataclass(frozen=True)
class Interface:
    """How a model is called by name.

    Args:
        model: The model.
        specs: What each input takes, in the model's own order; each has its name.
        structure: Inputs as the model takes them: a tensor, list or dict.
        output_names: The names of the model's outputs, in its own order.
    """

    model: keras.Model
    specs: tuple[tf.TensorSpec, ...]
    structure: Any
    output_names: tuple[str, ...]

    def call(self, *inputs: Any) -> dict[str, tf.Tensor]:
        """The outputs by name for inputs in the order of `specs`."""
        packed = keras.tree.pack_sequence_as(self.structure, list(inputs))
        outputs = keras.tree.flatten(self.model(packed, training=False))
        return dict(zip(self.output_names, outputs, strict=True))


def of(
    model: keras.Model,
    input_signature: Any = None,
    output_name: str = "probabilities",
) -> Interface:
    """The interface of a built model.

    Args:
        model: The model.
        input_signature: The named `tf.TensorSpec` of each input, in the structure that
            the model takes; None: as it was built.
        output_name: Name of the output of a model that has one.

    Raises:
        RefusedError: If the model is not built, or a name is missing or made up.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise RefusedError(
            "model: expected a built keras.Model or a Run. Received: "
            f"{type(model).__name__}, built={getattr(model, 'built', None)}. Call the "
            "model on data, or model.build(input_shape), first."
        )
    structure = _built_structure(model) if input_signature is None else input_signature
    specs = tuple(keras.tree.flatten(structure))
    problems = [problem for spec in specs for problem in _input_problems(spec)]
    names = [getattr(spec, "name", None) for spec in specs]
    if len(set(names)) < len(names):
        problems.append(
            f"input_signature: expected names that differ. Received: {names}"
        )
    if problems:
        raise RefusedError(problems, heading="wrong inputs")
    output_names = _output_names(model, structure, specs, output_name)
    return Interface(model, specs, structure, output_names)


def _input_problems(spec: Any) -> list[str]:
    if (
        not isinstance(spec, tf.TensorSpec)
        or spec.name is None
        or spec.shape.rank is None
        or spec.shape.rank < 1
    ):
        return [
            "input_signature: expected a tf.TensorSpec with a name and a batch "
            f"dimension. Received: {spec}."
        ]
    if _MADE_UP_INPUT.fullmatch(spec.name):
        return [
            "model: expected names for several inputs, which clients send. Received: "
            f"{spec.name}, which Keras made up and may make up otherwise next time. "
            "Name it: keras.Input(..., name=...)."
        ]
    return []


def _built_structure(model: keras.Model) -> Any:
    """Specs in the structure that the model was built with."""
    tensors = getattr(model, "inputs", None)
    if not tensors:  # Neither Functional nor Sequential.
        return _subclass_spec(model)
    # A Sequential model that was only built has no `input`.
    structure = tensors[0] if isinstance(model, keras.Sequential) else model.input
    if isinstance(structure, Mapping) and len(structure) == len(tensors):
        return {name: _spec(tensor, str(name)) for name, tensor in structure.items()}
    if len(tensors) == 1:
        (tensor,) = tensors
        is_named = not _MADE_UP_INPUT.fullmatch(tensor.name)
        dtype = tf.as_dtype(tensor.dtype)
        name = tensor.name if is_named else _usual_name(len(tensor.shape), dtype)
        return keras.tree.map_structure(lambda tensor: _spec(tensor, name), structure)
    return keras.tree.map_structure(
        lambda tensor: _spec(tensor, tensor.name), structure
    )


def _spec(tensor: Any, name: str) -> tf.TensorSpec:
    return tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)


def _subclass_spec(model: keras.Model) -> tf.TensorSpec:
    shapes = (model.get_build_config() or {}).get("input_shape")
    if isinstance(model.input_spec, keras.InputSpec) and model.input_spec.shape:
        shapes = model.input_spec.shape  # Knows which dimensions are free.
    if not isinstance(shapes, (tuple, list)) or not all(
        size is None or isinstance(size, int) for size in shapes
    ):
        raise RefusedError(
            f"model: expected one input. Received: input_shape={shapes}. Pass "
            "input_signature: a tf.TensorSpec with a name for each input, in the "
            "structure that the model takes."
        )
    dtype = _subclass_dtype(model)
    name = _usual_name(len(shapes), dtype)
    return tf.TensorSpec((None, *shapes[1:]), dtype, name=name)


# Layers whose input is no number that may be rounded to float32.
_READ_IDS = (
    keras.layers.Embedding,
    keras.layers.Hashing,
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)


def _subclass_dtype(model: keras.Model) -> tf.DType:
    """What a subclass takes: as it says, or as its data was, or floats."""
    if getattr(model, "vocabulary_size", None) is not None:
        return tf.int32
    seen = vars(model).get("_kerascale_inputs")
    if isinstance(seen, tf.TensorSpec):
        return seen.dtype
    names = [
        layer.name
        for layer in keras_private.all_layers(model)
        if isinstance(layer, _READ_IDS)
    ]
    if names:
        raise RefusedError(
            f"model: expected to know what its input is, which {', '.join(names)} does "
            "not take as float32: ids above 2**24 would become others. Received: a "
            f"{type(model).__name__} that was never trained by kerascale. Pass "
            "input_signature, for example tf.TensorSpec((None, 1), tf.int64, "
            "name='ids')."
        )
    return tf.float32


def _usual_name(rank: int, dtype: tf.DType) -> str:
    if dtype.is_floating:
        return "image" if rank == 4 else "features"
    return "text" if dtype == tf.string else "tokens"


def _output_names(
    model: keras.Model,
    structure: Any,
    specs: tuple[tf.TensorSpec, ...],
    output_name: str,
) -> tuple[str, ...]:
    """Looks at what the model gives, by tracing it once."""
    found: list[Any] = []

    @tf.function(input_signature=list(specs), autograph=False)
    def trace(*inputs: tf.Tensor) -> Any:
        packed = keras.tree.pack_sequence_as(structure, list(inputs))
        found.append(model(packed, training=False))
        return keras.tree.flatten(found[-1])

    trace.get_concrete_function()
    outputs = found[-1]
    tensors = keras.tree.flatten(outputs)
    if not all(tf.is_tensor(tensor) for tensor in tensors):
        types = ", ".join(type(tensor).__name__ for tensor in tensors)
        raise RefusedError(
            f"model: expected outputs that are tensors. Received: {types}."
        )
    if isinstance(outputs, Mapping):
        # In the order in which they are flattened.
        return tuple(keras.tree.flatten({name: str(name) for name in outputs}))
    if len(tensors) == 1:
        return (output_name,)
    names = list(getattr(model, "output_names", None) or ())
    if len(set(names)) != len(tensors) or any(map(_is_made_up(model), names)):
        raise RefusedError(
            "model: expected a name for each of several outputs, which clients read. "
            f"Received: {names or type(outputs).__name__}. Return a dict of outputs, "
            "or name the layers that they come from."
        )
    return tuple(names)


def _is_made_up(model: keras.Model) -> Any:
    """Tells whether the name of a layer is the one that Keras gives to its class."""
    usual = {
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
        for name in (type(layer).__name__ for layer in model.layers)
    }
    return lambda name: re.sub(r"_\d+$", "", name) in usual
