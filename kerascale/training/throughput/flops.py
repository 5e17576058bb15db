"""Floating-point operations of a traced function, counted in its graph.

What is counted are products of matrices and convolutions, forward and backward, a
multiplication and an addition as two. All else (activations, normalization, the
optimizer) is left out, as is usual: it is a small part, and is not limited by
arithmetic. So are sums that layers compute as products with ones.
`tf.compat.v1.profiler` counts the body of a loop once, and knows no
`Einsum`, which is what attention consists of.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.layers import _gradients

Shape = tuple[int, ...]


class UncountableError(ValueError):
    """A graph in which a number that is needed is not known before it runs."""


def count(traced: tf.types.experimental.ConcreteFunction) -> float:
    """Floating-point operations of one call.

    Args:
        traced: A function, traced for shapes that are known.

    Raises:
        UncountableError: If a shape, or how often a loop runs, is not known.
    """
    return count_graph(traced.graph)


def count_graph(traced: tf.Graph) -> float:
    """The same of the graph of a function, or of the body of a loop for one turn."""
    graph = traced.as_graph_def(add_shapes=True)
    library = {f.signature.name: f for f in graph.library.function}
    ends = [t.op.name for t in traced.outputs]
    ends += [op.name for op in traced.control_outputs]
    return _Body(library, graph.node, ends, {}, {}).count()


class _Body:
    """The operations of a graph or of a function.

    Args:
        library: Name -> function.
        nodes: The operations.
        ends: Those whose results are wanted. What leads to none of them is there, such
            as the gradient of a model's input, and is never run.
        shapes: Of the arguments, by name.
        constants: Values of the arguments that are known, by name.
    """

    def __init__(
        self,
        library: Mapping[str, Any],
        nodes: Sequence[Any],
        ends: Sequence[str],
        shapes: Mapping[str, Any],
        constants: Mapping[str, np.ndarray],
    ) -> None:
        self._library = library
        self._nodes = {node.name: node for node in nodes}
        self._ends = ends
        self._argument_shapes = shapes
        self._constants = constants

    def count(self) -> float:
        return sum(self._count(node) for node in self._wanted())

    def _wanted(self) -> list[Any]:
        waiting, seen = list(self._ends), set()
        while waiting:
            name = waiting.pop()
            if name in self._nodes and name not in seen:
                seen.add(name)
                inputs = self._nodes[name].input
                waiting += [i.lstrip("^").split(":")[0] for i in inputs]
        return [self._nodes[name] for name in sorted(seen)]

    def _count(self, node: Any) -> float:
        if node.op in _RULES:
            is_sum = _gradients.SUM in node.name
            return 0.0 if is_sum else 2.0 * _RULES[node.op](self, node)
        if node.op in ("While", "StatelessWhile"):
            body = self._call(node, node.attr["body"].func.name)
            return body and body * self._trips(node)
        if node.op in ("If", "StatelessIf"):
            branches = [node.attr[name].func.name for name in _BRANCHES]
            return max(self._call(node, name, skip=1) for name in branches)
        if node.op in ("Case", "StatelessCase"):
            functions = node.attr["branches"].list.func
            return max(self._call(node, f.name, skip=1) for f in functions)
        if node.op in self._library:
            return self._call(node, node.op)
        if "f" in node.attr and node.attr["f"].WhichOneof("value") == "func":
            return self._call(node, node.attr["f"].func.name)
        return 0.0

    def _call(self, node: Any, name: str, skip: int = 0) -> float:
        """The operations of a function that a node calls."""
        function = self._library[name]
        shapes, constants = {}, {}
        inputs = [name for name in node.input if not name.startswith("^")][skip:]
        arguments = function.signature.input_arg
        for i, (argument, source) in enumerate(zip(arguments, inputs, strict=False)):
            own = function.arg_attr[i].attr
            if "_output_shapes" in own and own["_output_shapes"].list.shape:
                shapes[argument.name] = own["_output_shapes"].list.shape[0]
            known = self._constant(source)
            if known is not None:
                constants[argument.name] = known
        ends = [source.split(":")[0] for source in function.ret.values()]
        ends += function.control_ret.values()
        body = _Body(self._library, function.node_def, ends, shapes, constants)
        return body.count()

    def _trips(self, node: Any) -> int:
        """How often a loop runs: its second input is the most that it may."""
        most = self._constant(node.input[1])
        if most is None or most.ndim or most < 0:
            raise UncountableError(f"how often the loop {node.name} runs is not known")
        return int(most)

    def _constant(self, source: str) -> np.ndarray | None:
        """The value of an input, if it is known before anything runs."""
        name, *_ = source.split(":")
        if name in self._constants:
            return self._constants[name]
        node = self._nodes.get(name)
        if node is None:
            return None
        if node.op == "Const":
            return tf.make_ndarray(node.attr["value"].tensor)
        if node.op in ("Identity", "Cast"):
            return self._constant(node.input[0])
        if node.op == "Max":  # As Keras writes the number of time steps.
            known = self._constant(node.input[0])
            return None if known is None else known.max()
        return None

    def shape(self, source: str) -> Shape:
        """The shape of an input: `name`, `name:index` or `name:output:index`."""
        name, *place = source.split(":")
        if name not in self._nodes:
            shape = self._argument_shapes.get(name)
        else:
            node = self._nodes[name]
            index = _output_index(node, place)
            shapes = node.attr["_output_shapes"].list.shape
            shape = shapes[index] if index < len(shapes) else None
        return _known(shape, source)

    def output(self, node: Any) -> Shape:
        shapes = node.attr["_output_shapes"].list.shape
        return _known(shapes[0] if shapes else None, node.name)


def _output_index(node: Any, place: Sequence[str]) -> int:
    """Which output is meant; in functions they have names, and a number within one."""
    if not place:
        return 0
    *name, number = place
    several = len(node.attr["_output_shapes"].list.shape) > 1
    if not name or not several or name[0] == "output":  # A list, or the only one.
        return int(number)
    if name[0] not in _OUTPUTS.get(node.op, ()):
        raise UncountableError(f"the output {name[0]} of {node.op} is not known")
    return _OUTPUTS[node.op].index(name[0])


def _known(shape: Any, name: str) -> Shape:
    if shape is None or shape.unknown_rank or any(d.size < 0 for d in shape.dim):
        raise UncountableError(f"the shape of {name} is not known")
    return tuple(d.size for d in shape.dim)


def _matmul(body: _Body, node: Any) -> float:
    first = body.shape(node.input[0])
    transposed = any(node.attr[n].b for n in ("transpose_a", "adj_x"))
    inner = first[-2] if transposed else first[-1]
    return math.prod(body.output(node)) * inner


def _einsum(body: _Body, node: Any) -> float:
    """Each combination of indices is one multiplication and one addition."""
    if len([name for name in node.input if not name.startswith("^")]) < 2:
        return 0.0
    left, _ = node.attr["equation"].s.decode().split("->")
    sizes: dict[str, int] = {}
    for i, labels in enumerate(left.split(",")):
        shape = body.shape(node.input[i])
        before, dots, after = labels.partition("...")
        hidden = len(shape) - len(before) - len(after) if dots else 0
        # Dimensions behind the dots are counted from the last.
        names = [*before, *(f".{hidden - k}" for k in range(hidden)), *after]
        for name, size in zip(names, shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return math.prod(sizes.values())


def _convolution(body: _Body, node: Any) -> float:
    kernel = body.shape(node.input[1])
    return math.prod(body.output(node)) * math.prod(kernel[:-1])


def _convolution_to_input(body: _Body, node: Any) -> float:
    kernel, gradient = body.shape(node.input[1]), body.shape(node.input[2])
    return math.prod(gradient) * math.prod(kernel[:-1])


def _convolution_to_kernel(body: _Body, node: Any) -> float:
    kernel, gradient = body.output(node), body.shape(node.input[2])
    return math.prod(gradient) * math.prod(kernel[:-1])


def _depthwise(body: _Body, node: Any) -> float:
    height, width, *_ = body.shape(node.input[1])
    return math.prod(body.output(node)) * height * width


def _depthwise_to_input(body: _Body, node: Any) -> float:
    height, width, *_ = body.shape(node.input[1])
    return math.prod(body.shape(node.input[2])) * height * width


def _depthwise_to_kernel(body: _Body, node: Any) -> float:
    height, width, *_ = body.output(node)
    return math.prod(body.shape(node.input[2])) * height * width


# Outputs that have names of their own, in their order.
_OUTPUTS = {
    "TensorListPopBack": ("output_handle", "tensor"),
    "FusedBatchNormV3": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormGradV3": ("x_backprop", "scale_backprop", "offset_backprop"),
    "SoftmaxCrossEntropyWithLogits": ("loss", "backprop"),
    "SparseSoftmaxCrossEntropyWithLogits": ("loss", "backprop"),
    "TopKV2": ("values", "indices"),
}

_BRANCHES = ("then_branch", "else_branch")

_RULES: dict[str, Callable[[_Body, Any], float]] = {
    "MatMul": _matmul,
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Einsum": _einsum,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "Conv2DBackpropInput": _convolution_to_input,
    "Conv3DBackpropInputV2": _convolution_to_input,
    "Conv2DBackpropFilter": _convolution_to_kernel,
    "Conv3DBackpropFilterV2": _convolution_to_kernel,
    "DepthwiseConv2dNative": _depthwise,
    "DepthwiseConv2dNativeBackpropInput": _depthwise_to_input,
    "DepthwiseConv2dNativeBackpropFilter": _depthwise_to_kernel,
}
