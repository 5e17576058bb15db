"""An ONNX model whose weights are kept in fewer bits, and computed in float32.

Behind each of them stands a node that makes float32 of it. The runtime computes these
nodes once, when it loads the model, so that speed is that of the float model.
"""

import pathlib
from typing import Any

import numpy as np

from kerascale.compression.formats import rounding

# Which axis of a weight counts the channels, by the operation that reads it.
_CHANNEL_AXES = {
    "Conv": 0,
    "ConvTranspose": 1,
    "MatMul": -1,
    "Gemm": -1,
    "Gather": -1,
    "LSTM": 1,
    "GRU": 1,
    "RNN": 1,
}


def store(level: str, source: pathlib.Path, file: pathlib.Path) -> None:
    """Writes a float ONNX model with its weights in fewer bits.

    Args:
        level: `float16` or `int8-weights`.
        source: The float model.
        file: The new file.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    readers = {name: node for node in model.graph.node for name in node.input}
    nodes, weights = [], []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if weight.name not in readers or not rounding.is_worth_it(array):
            weights.append(weight)
            continue
        kept = f"{weight.name}/kept"
        if level == "float16":
            weights.append(numpy_helper.from_array(array.astype(np.float16), kept))
            to = onnx.TensorProto.FLOAT
            nodes.append(onnx.helper.make_node("Cast", [kept], [weight.name], to=to))
            continue
        axis = _axis(readers[weight.name], array.ndim)
        integers, scale = rounding.to_int8(array, axis)
        weights.append(numpy_helper.from_array(integers, kept))
        # Not DequantizeLinear: that node is kept for integer kernels, and computed at
        # each request.
        shape = [1] * array.ndim
        shape[axis] = -1
        weights.append(numpy_helper.from_array(scale.reshape(shape), f"{kept}/scale"))
        to = onnx.TensorProto.FLOAT
        made = f"{kept}/float"
        nodes.append(onnx.helper.make_node("Cast", [kept], [made], to=to))
        inputs = [made, f"{kept}/scale"]
        nodes.append(onnx.helper.make_node("Mul", inputs, [weight.name]))
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    nodes += list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    shorten_names(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def shorten_names(graph: Any) -> None:
    """Names of layers, which every node repeats, take a sixth of a small model.

    Those of the model's inputs and outputs stay: clients send and read them.
    """
    kept = {value.name for value in (*graph.input, *graph.output)}
    short: dict[str, str] = {"": "", **{name: name for name in kept}}

    def of(name: str) -> str:
        return short.setdefault(name, f"t{len(short)}")

    def rename(inside: Any) -> None:
        # What a body of a loop reads of the graph around it has the same name there.
        del inside.value_info[:]
        for value in (*inside.input, *inside.output, *inside.initializer):
            value.name = of(value.name)
        for node in inside.node:
            node.name = node.doc_string = ""
            for names in (node.input, node.output):
                names[:] = [of(name) for name in names]
            for attribute in node.attribute:
                for body in (attribute.g, *attribute.graphs):
                    if body.node or body.output:
                        rename(body)

    rename(graph)


def _axis(node: Any, rank: int) -> int:
    axis = _CHANNEL_AXES.get(node.op_type, -1)
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    if node.op_type == "Gemm" and transposed:
        return 0
    return min(axis, rank - 1)
