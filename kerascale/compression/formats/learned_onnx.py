"""ONNX models of true integers, with the ranges that training has learned.

Around each kernel stand QuantizeLinear and DequantizeLinear, of which ONNX Runtime
makes integer kernels when it loads the model. Weights and biases are integers.
"""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.compression.formats import learned_tensors, onnx_weights, rounding
from kerascale.compression.formats.learned_tensors import Learned
from kerascale.compression.formats.onnx_integers import prepare, quiet

# What has a kernel, with the axis of its outputs' channels.
_COMPUTING = {"Conv": 0, "MatMul": 1, "Gemm": 1}
# What gives the numbers that it is given, in another order or fewer of them.
_PASSING = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")

Limits = tuple[float, float]


def quantize(source: pathlib.Path, file: pathlib.Path, learned: Learned) -> None:
    """Writes a float ONNX model in integers.

    Args:
        source: The float model, whose weights are on their grids.
        file: The new file.
        learned: What training has learned.

    Raises:
        ExportRefusedError: If some of it has no place in the model.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="kerascale-onnx-") as scratch, quiet():
        prepared = pathlib.Path(scratch) / "prepared.onnx"
        integers = pathlib.Path(scratch) / "integers.onnx"
        prepare(source, prepared)
        model = onnx.load(str(prepared))
        ranges = learned_tensors.find(learned, _tensors(model, learned))
        learned_tensors.refuse_floats(learned, _Rewriting(model.graph, ranges).run())
        onnx.checker.check_model(model)
        onnx.save(model, str(integers))
        # What is left in float32, such as embeddings, is looked up and not computed.
        onnx_weights.store("int8-weights", integers, file)


def _tensors(model: Any, learned: Learned) -> dict[str, np.ndarray]:
    """Name -> value of each float tensor for the examples."""
    import onnx
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in shown.graph.output}
    names = [n for node in shown.graph.node for n in node.output if n]
    shown.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = [output.name for output in session.get_outputs()]
    values = session.run(wanted, dict(learned.inputs))
    found = dict(learned.inputs) | dict(zip(wanted, values, strict=True))
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, np.ndarray) and value.dtype == np.float32
    }


class _Rewriting:
    """Puts integers into a graph.

    Args:
        graph: Changed in place.
        ranges: Of its tensors.
    """

    def __init__(self, graph: Any, ranges: Mapping[str, Limits]) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self._ranges = dict(ranges)
        self._arrays = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
        self._new: list[Any] = []
        self._made: dict[str, np.ndarray] = {}
        # Tensor -> what stands in its place, from DequantizeLinear.
        self._instead: dict[str, str] = {}
        # That -> its scale.
        self._scales: dict[str, np.float32] = {}

    def run(self) -> int:
        """Returns how many kernels are integer ones."""
        from onnx import numpy_helper

        graph = self._graph
        for value in graph.input:
            self._quantized(value.name)
        computed = 0
        for node in graph.node:
            node.input[:] = [self._instead.get(name, name) for name in node.input]
            computed += self._with_integers(node)
            self._new.append(node)
            if node.op_type in _PASSING:
                limits = self._ranges_of(node.input[0])
                if limits is not None:
                    self._ranges.setdefault(node.output[0], limits)
            for name in node.output:
                self._quantized(name)
        del graph.node[:]
        graph.node.extend(self._new)
        used = {name for node in graph.node for name in node.input}
        kept = [x for x in graph.initializer if x.name in used]
        kept += [numpy_helper.from_array(a, name) for name, a in self._made.items()]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        return computed

    def _ranges_of(self, name: str) -> Limits | None:
        before = {new: old for old, new in self._instead.items()}
        return self._ranges.get(before.get(name, ""))

    def _quantized(self, name: str) -> None:
        """Puts a tensor on its grid, if it has one."""
        outputs = {value.name for value in self._graph.output}
        if name not in self._ranges or name in outputs:
            return
        low, high = self._ranges[name]
        scale = np.float32((high - low) / 255)
        zero = np.uint8(np.clip(np.round(-low / scale), 0, 255))
        self._scales[f"{name}/float"] = scale
        self._pair(name, f"{name}/float", scale, zero)
        self._instead[name] = f"{name}/float"

    def _pair(
        self, name: str, output: str, scale: np.float32, zero: np.ndarray
    ) -> None:
        from onnx import helper

        numbers = self._grid(name, scale, zero)
        self._new += [
            helper.make_node("QuantizeLinear", [name, *numbers], [f"{name}/integer"]),
            helper.make_node(
                "DequantizeLinear", [f"{name}/integer", *numbers], [output]
            ),
        ]

    def _grid(self, name: str, scale: np.ndarray, zero: np.ndarray) -> list[str]:
        self._made |= {f"{name}/scale": np.asarray(scale), f"{name}/zero": zero}
        return [f"{name}/scale", f"{name}/zero"]

    def _with_integers(self, node: Any) -> bool:
        """Gives a node integer weights, if its inputs are on a grid."""
        if node.op_type not in _COMPUTING or node.input[0] not in self._scales:
            return False
        kernel = self._arrays.get(node.input[1])
        if kernel is None:
            return False
        axis = _COMPUTING[node.op_type]
        if any(a.name == "transB" and a.i for a in node.attribute):
            axis = 0
        integers, scale = rounding.to_int8(kernel, axis)
        node.input[1] = self._constant(node.input[1], integers, scale, axis)
        bias = self._arrays.get(node.input[2]) if len(node.input) > 2 else None
        if bias is not None:
            # As integer kernels add it: to sums of products.
            step = np.float64(self._scales[node.input[0]]) * scale
            limits = np.iinfo(np.int32)
            integers = np.clip(np.round(bias / step), limits.min, limits.max)
            node.input[2] = self._constant(
                f"{node.input[2]}/{node.output[0]}",
                integers.astype(np.int32),
                step.astype(np.float32),
                0,
            )
        return True

    def _constant(
        self, name: str, integers: np.ndarray, scale: np.ndarray, axis: int
    ) -> str:
        from onnx import helper

        output = f"{name}/from_integers"
        if f"{name}/kept" not in self._made:
            zero = np.zeros(scale.shape, integers.dtype)
            self._made[f"{name}/kept"] = integers
            numbers = self._grid(f"{name}/kept", scale, zero)
            inputs = [f"{name}/kept", *numbers]
            self._new.append(
                helper.make_node("DequantizeLinear", inputs, [output], axis=axis)
            )
        return output
