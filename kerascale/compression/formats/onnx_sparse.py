"""An ONNX model that keeps its weights without their zeros.

Beside the others stands a bit for each weight that says whether it is zero. Some nodes
make the whole tensor of both. The runtime computes them once, when it loads the model,
so that speed is that of the float model.
"""

import pathlib
from typing import Any

import numpy as np

from kerascale.compression.formats import onnx_weights, rounding

# Of a tensor; with fewer zeros the bits and nodes save little.
_LEAST_ZEROS = 0.25
_BITS = 8


def store(source: pathlib.Path, file: pathlib.Path) -> None:
    """Writes a float ONNX model without the zeros of its weights.

    Args:
        source: The float model.
        file: The new file.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    nodes: list[Any] = []
    weights: list[Any] = []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if not rounding.is_worth_it(array) or (array == 0).mean() < _LEAST_ZEROS:
            weights.append(weight)
            continue
        made, kept = _packed(weight.name, array)
        nodes += made
        weights += [numpy_helper.from_array(value, name) for name, value in kept]
    nodes += list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(weights)
    model.graph.node.extend(nodes)
    onnx_weights.shorten_names(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _packed(name: str, array: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Nodes that make the tensor, and (name, array) of what they make it of."""
    from onnx import TensorProto, helper

    flat = array.reshape(-1)
    there = flat != 0
    # In rows of eight: the lowest bit first.
    bits = np.packbits(there, bitorder="little").reshape(-1, 1)
    kept = [
        (f"{name}/bits", bits),
        # One more in front: behind a running count of 0 stands nothing.
        (f"{name}/kept", np.concatenate([[0], flat[there]]).astype(np.float32)),
        (f"{name}/powers", 2 ** np.arange(_BITS, dtype=np.int32).reshape(1, -1)),
        (f"{name}/two", np.array(2, np.int32)),
        (f"{name}/line", np.array([-1], np.int64)),
        (f"{name}/begin", np.array([0], np.int64)),
        (f"{name}/end", np.array([flat.size], np.int64)),
        (f"{name}/axis", np.array(0, np.int32)),
        (f"{name}/zero", np.array(0, np.float32)),
        (f"{name}/shape", np.array(array.shape, np.int64)),
    ]

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
        names = [f"{name}/{each}" for each in inputs.split()]
        output = f"{name}/{output}" if output else name
        return helper.make_node(kind, names, [output], **attributes)

    nodes = [
        node("Cast", "bits", "bytes", to=TensorProto.INT32),
        node("Div", "bytes powers", "halves"),
        node("Mod", "halves two", "ones"),
        node("Reshape", "ones line", "long"),
        node("Slice", "long begin end", "mask"),
        node("CumSum", "mask axis", "places"),
        node("Gather", "kept places", "spread"),
        node("Cast", "mask", "there", to=TensorProto.BOOL),
        node("Where", "there spread zero", "flat"),
        node("Reshape", "flat shape", ""),
    ]
    return nodes, kept
