"""Every use of a private name of TensorFlow, each with the test that guards it.

When a release of TensorFlow moves one of these names,
`tests/engine/test_tensorflow_private.py` fails and says what to do; nothing outside
this file has to change.
"""

import collections
import functools
import itertools

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.python.framework import kernels, op_def_registry, ops
from tensorflow.python.ops import control_flow_util
from tensorflow.python.util import _pywrap_util_port

# A Transformer of 4 layers takes 10,000; to count so far takes some 30 ms.
_NAMES_OF_A_TRACE = 2**17


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
    left = -ops.uid() % _NAMES_OF_A_TRACE - 1
    collections.deque(itertools.starmap(ops.uid, itertools.repeat((), left)), maxlen=0)


def stateful_operations(traced: tf.types.experimental.ConcreteFunction) -> set[str]:
    """Names of the operations of a function that keep or change a state."""
    return {
        name
        for name in operations(traced)
        if (found := op_def_registry.get(name)) is not None
        and found.is_stateful
        # The algorithm of a device: no state.
        and name not in ("Placeholder", "StatelessRandomGetAlg")
    }


def operations(traced: tf.types.experimental.ConcreteFunction) -> set[str]:
    """Names of the operations of a function, and of those that it calls."""
    graph = traced.graph.as_graph_def()
    bodies = [graph.node, *(f.node_def for f in graph.library.function)]
    names = {node.op for nodes in bodies for node in nodes}
    return names - {f.signature.name for f in graph.library.function}


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
