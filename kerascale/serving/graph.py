"""Writes the graph of a SavedModel, and reads back what it says of itself."""

import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from kerascale.serving import classify, regress
from kerascale.serving.interface import Interface

GRAPH = "saved_model.pb"
_LOOKUPS = (
    keras.layers.TextVectorization,
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
)
# What TensorFlow adds to every SavedModel for itself.
_INTERNAL = "__saved_model_init_op"

# Signature -> {"method": ..., "inputs": {name: {"dtype": ..., "shape": [...]}},
# "outputs": ...}; a free dimension is None.
Signatures = dict[str, dict[str, Any]]


def serving_function(interface: Interface) -> Any:
    """The function behind `serving_default`, traced."""

    @tf.function(input_signature=list(interface.specs), autograph=False)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return interface.call(*inputs)

    serve.get_concrete_function()
    return serve


def write(
    model: keras.Model, functions: Mapping[str, Any], folder: pathlib.Path
) -> None:
    """Writes a SavedModel.

    Args:
        model: What the functions call.
        functions: Signature -> function.
        folder: The new SavedModel's folder.
    """
    archive = keras.export.ExportArchive()
    # Variables are found by the endpoints; tables are not. The whole model is not
    # tracked: Keras would trace each layer with a float32 input of its own making,
    # which a layer for token ids refuses.
    for layer in _lookup_layers(model):
        archive.track(layer)
    for name, function in functions.items():
        archive.add_endpoint(name, function)
    archive.write_out(folder, verbose=False)
    if classify.NAME in functions:
        _set_method(folder / GRAPH, classify.NAME, classify.METHOD)
    if regress.NAME in functions:
        _set_method(folder / GRAPH, regress.NAME, regress.METHOD)


def _set_method(file: pathlib.Path, signature: str, method: str) -> None:
    """TensorFlow writes every signature as one of the method `predict`."""
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for meta_graph in saved_model.meta_graphs:
        meta_graph.signature_def[signature].method_name = method
    file.write_bytes(saved_model.SerializeToString(deterministic=True))


def _lookup_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if isinstance(layer, _LOOKUPS):
        return [layer]
    return [found for child in _children(layer) for found in _lookup_layers(child)]


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if isinstance(layer, keras.Model):
        return layer.layers
    values = list(vars(layer).values())
    inside = [v for value in values if isinstance(value, list) for v in value]
    return [v for v in [*values, *inside] if isinstance(v, keras.layers.Layer)]


def read_signatures(folder: pathlib.Path) -> Signatures:
    """What a SavedModel says that it takes and gives: what a server goes by.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        data = (folder / GRAPH).read_bytes()
        saved_model = saved_model_pb2.SavedModel.FromString(data)
        (meta_graph,) = [
            graph
            for graph in saved_model.meta_graphs
            if set(graph.meta_info_def.tags) == {"serve"}
        ]
    except (OSError, ValueError, message.DecodeError) as error:
        raise ValueError(f"{folder / GRAPH} is no graph to serve ({error})") from error
    return {
        name: {
            "method": signature.method_name,
            "inputs": {
                n: _tensor(signature.inputs[n]) for n in sorted(signature.inputs)
            },
            "outputs": {
                n: _tensor(signature.outputs[n]) for n in sorted(signature.outputs)
            },
        }
        for name, signature in sorted(meta_graph.signature_def.items())
        if name != _INTERNAL
    }


def _tensor(info: Any) -> dict[str, Any]:
    shape = info.tensor_shape
    sizes = [None if dim.size < 0 else dim.size for dim in shape.dim]
    return {
        "dtype": tf.as_dtype(info.dtype).name,
        "shape": None if shape.unknown_rank else sizes,
    }
