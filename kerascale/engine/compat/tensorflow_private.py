"""Every use of a private name of TensorFlow, each with the test that guards it.

When a release of TensorFlow moves one of these names,
`tests/engine/test_tensorflow_private.py` fails and says what to do; nothing outside
this file has to change.
"""

import collections
import functools
import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.python.framework import kernels, op_def_registry, ops
from tensorflow.python.ops import control_flow_util
from tensorflow.python.util import _pywrap_util_port

# A Transformer of 4 layers takes 10,000; to count so far takes some 30 ms.
_NAMES_OF_A_TRACE = 2**17
# Behind a name; smaller ones are those of a graph's own operations.
_NUMBER = re.compile(rb"(?<=[_-])[1-9][0-9]{5,6}(?![0-9])")

# Operations whose first input is which function they call.
_ASKING_FIRST = ("If", "StatelessIf", "Case", "StatelessCase")


def onednn() -> str:
    """Whether TensorFlow computes with its oneDNN kernels: `on` or `off`."""
    return "on" if _pywrap_util_port.IsMklEnabled() else "off"


@functools.cache
def has_xla_kernel(op: str) -> bool:
    """Whether XLA can compile an operation of TensorFlow."""
    if op == "Placeholder":  # An argument, which has another name when it is called.
        return True
    _register_xla_kernels()
    found = kernels.get_registered_kernels_for_op(op).kernel
    return any(kernel.device_type.startswith("XLA_") for kernel in found)


@functools.cache
def _register_xla_kernels() -> None:
    # They are there from the first compilation on.
    tf.function(lambda: tf.zeros([]), autograph=False, jit_compile=True)()


def is_compiled_by_xla() -> bool:
    """Whether what is traced now is inside of a function with `jit_compile=True`."""
    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)


def xla_barrier(tensor: tf.Tensor) -> tf.Tensor:
    """The same, in what XLA compiles: computed before whatever is done with it."""
    return xla.optimization_barrier(tensor)[0]


def number_names_anew() -> None:
    """What is traced next has the same names, whatever was traced before.

    TensorFlow numbers functions by how many names it has given; programs that are kept
    are found by their names too. Numbers go on at the next multiple of a large one.
    """
    left = (-ops.uid() - 1) % _NAMES_OF_A_TRACE
    collections.deque(itertools.starmap(ops.uid, itertools.repeat((), left)), maxlen=0)


def text_of(graph: Any) -> bytes:
    """What tells a graph from others, whatever was traced before it.

    Args:
        graph: A `GraphDef`, traced after `number_names_anew`.
    """
    nodes, functions = (
        [part.SerializeToString(deterministic=True) for part in parts]
        for parts in (graph.node, graph.library.function)
    )
    texts = [*nodes, *functions]
    numbers = sorted({int(found) for text in texts for found in _NUMBER.findall(text)})
    # By their order: a tensor that was made in front of a trace takes a number, too. In
    # as many digits, of which the text tells the number.
    ranks = {n: b"%d" % (10 ** (len(str(n)) - 1) + i) for i, n in enumerate(numbers)}

    def anew(text: bytes) -> bytes:
        return _NUMBER.sub(lambda found: ranks[int(found[0])], text)

    # TensorFlow puts functions in an order that depends on their names.
    return b"".join([*map(anew, nodes), *sorted(map(anew, functions))])


def stateful_operations(
    traced: tf.types.experimental.ConcreteFunction, but_python: Container[bytes] = ()
) -> set[str]:
    """Names of the operations of a function that keep or change a state.

    Args:
        traced: The function.
        but_python: Tokens of functions of Python's that do not.
    """
    names = {
        node.op
        for node in _nodes(traced)
        if node.op != "PyFunc" or node.attr["token"].s not in but_python
    }
    return {
        name
        for name in names
        if (found := op_def_registry.get(name)) is not None
        and found.is_stateful
        # The algorithm of a device: no state.
        and name not in ("Placeholder", "StatelessRandomGetAlg")
    }


def captured_resources(
    traced: tf.types.experimental.ConcreteFunction,
) -> list[tf.Tensor]:
    """Variables that a function reads or writes, but those by which TensorFlow orders
    messages between replicas: of them it writes none.
    """
    graph = traced.graph.as_graph_def()
    functions = {f.signature.name: f for f in graph.library.function}
    of_messages = {
        id(captured)
        for captured, inside in traced.graph.captures
        if _orders_messages(inside.op.name, graph.node, functions)
    }
    return [
        captured
        for captured in traced.captured_inputs
        if captured.dtype == tf.resource and id(captured) not in of_messages
    ]


def _orders_messages(
    name: str, nodes: Iterable[Any], functions: Mapping[str, Any]
) -> bool:
    """Whether an argument is given to a message, here or in what is called."""
    for node in nodes:
        for place, given in enumerate(node.input):
            if given.partition(":")[0] != name:
                continue
            if node.op.startswith("Collective"):
                return True
            if node.op in _ASKING_FIRST:
                place -= 1
            called = [a.func.name for a in node.attr.values() if a.func.name]
            for function in (functions[n] for n in called if n in functions):
                arguments = function.signature.input_arg
                if not 0 <= place < len(arguments):
                    continue
                argument = arguments[place].name
                if _orders_messages(argument, function.node_def, functions):
                    return True
    return False


def operations(traced: tf.types.experimental.ConcreteFunction) -> set[str]:
    """Names of the operations of a function, and of those that it calls."""
    functions = traced.graph.as_graph_def().library.function
    names = {node.op for node in _nodes(traced)}
    return names - {f.signature.name for f in functions}


def _nodes(traced: tf.types.experimental.ConcreteFunction) -> Iterator[Any]:
    graph = traced.graph.as_graph_def()
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def operations_of_xla(traced: tf.types.experimental.ConcreteFunction) -> set[str]:
    """Names of the operations in functions that a traced one has compiled by XLA."""
    library = {
        f.signature.name: f for f in traced.graph.as_graph_def().library.function
    }
    left = [n for n, f in library.items() if f.attr["_XlaMustCompile"].b]
    reached: set[str] = set()
    names: set[str] = set()
    while left:
        function = library[left.pop()]
        if function.signature.name in reached:
            continue
        reached.add(function.signature.name)
        for node in function.node_def:
            names.add(node.op)
            for value in node.attr.values():
                called = [value.func.name, *(f.name for f in value.list.func)]
                left += [name for name in called if name in library]
            left += [node.op] * (node.op in library)
    return names - set(library)


@functools.cache
def standing_for(replicas: int) -> tf.distribute.Strategy:
    """A strategy of one device, in which code is told of so many replicas.

    What runs in it is in replica context, and reads the first value of a variable of
    another strategy.
    """
    # Not before: with a first strategy TensorFlow begins, which others must precede.
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")

    class Standing(type(strategy.extended)):
        """One device that says it is one of several."""

        @property
        def _num_replicas_in_sync(self) -> int:
            return replicas

    strategy.extended.__class__ = Standing
    return strategy
