"""Each private name of TensorFlow does what we take it for."""

import numpy as np
import pytest
import tensorflow as tf

from kerascale.engine.compat import tensorflow_private


def test_names_do_not_depend_on_what_was_traced_before():
    """If it fails: `ops.uid` has moved, or functions are not named by it.

    Kept programs are then found only where a process traces the same as the last one.
    """

    def name():
        tensorflow_private.number_names_anew()
        traced = tf.function(lambda: tf.constant(1) + 1).get_concrete_function()
        return int(traced.function_def.signature.name.rpartition("_")[2])

    name()  # The first of a process takes a number more: TensorFlow begins.
    one = name()
    tf.function(lambda: tf.zeros(3) + 1).get_concrete_function()
    two = name()
    assert two - one == tensorflow_private._NAMES_OF_A_TRACE
    tensorflow_private.number_names_anew()  # Nothing takes a number in between.
    assert name() - two == 2 * tensorflow_private._NAMES_OF_A_TRACE


def test_graphs_are_the_same_wherever_their_names_begin():
    """If it fails: names have numbers of another form, or in other places.

    That slices are the batch is then shown anew in each process.
    """

    names = set()
    for _ in range(20):  # To numbers of seven digits: they tell their length, too.
        tensorflow_private.number_names_anew()

    def text(n):
        tensorflow_private.number_names_anew()
        tf.zeros(len(names))
        loop = tf.function(
            lambda: tf.while_loop(lambda i: i < n, lambda i: (i + 1,), [tf.constant(0)])
        )
        graph = loop.get_concrete_function().graph.as_graph_def()
        names.update(function.signature.name for function in graph.library.function)
        return tensorflow_private.text_of(graph)

    assert text(3) == text(3) == text(3) != text(4)
    assert len(names) == 8


@pytest.mark.slow
def test_whether_onednn_is_on(run_python):
    """If it fails: find how this release tells which kernels it takes."""
    code = (
        "from kerascale.engine.compat import tensorflow_private\n"
        "print(tensorflow_private.onednn())"
    )
    assert tensorflow_private.onednn() in ("on", "off")
    other = {"on": ("0", "off"), "off": ("1", "on")}[tensorflow_private.onednn()]
    told = run_python(code, env={"TF_ENABLE_ONEDNN_OPTS": other[0]}).stdout
    assert told.strip() == other[1]


def test_whether_xla_compiles_is_known():
    """If it fails: how `tf.function` marks the graphs that it compiles has changed."""
    seen = {}

    def note(name):
        seen[name] = tensorflow_private.is_compiled_by_xla()
        return tf.zeros([])

    def body(i):
        note("loop")
        return (i + 1,)

    def compiled():
        tf.while_loop(lambda i: i < 2, body, (0,))
        tf.function(lambda: note("inner"), autograph=False)()
        return note("compiled")

    tf.function(compiled, jit_compile=True, autograph=False)()
    tf.function(lambda: note("plain"), autograph=False)()
    note("eager")
    assert seen == {
        "loop": True,
        "inner": True,
        "compiled": True,
        "plain": False,
        "eager": False,
    }


def test_xla_does_not_look_through_a_barrier():
    """If it fails: find the function of `xla.py` that makes XlaOptimizationBarrier."""

    @tf.function(jit_compile=True, autograph=False)
    def turned(x, y):
        product = tf.matmul(y, x, transpose_a=True)
        return tf.transpose(tensorflow_private.xla_barrier(product))

    random = np.random.default_rng(0)
    x, y = (tf.constant(random.normal(size=(4, size))) for size in (3, 2))
    np.testing.assert_allclose(turned(x, y), tf.matmul(x, y, transpose_a=True))
    text = turned.experimental_get_compiler_ir(x, y)(stage="hlo")
    assert "opt-barrier" in text


def test_a_device_stands_for_one_of_several():
    """If it fails: `OneDeviceStrategy` has another way to count its replicas."""
    strategy = tensorflow_private.standing_for(3)

    def count():
        context = tf.distribute.get_replica_context()
        return tf.distribute.get_strategy().num_replicas_in_sync, context is not None

    assert strategy.run(count) == (3, True)
    assert tf.distribute.OneDeviceStrategy("CPU:0").num_replicas_in_sync == 1


def test_operations_that_xla_shall_compile():
    """If it fails: functions that XLA compiles are marked by another attribute."""
    inner = tf.function(tf.math.tanh, jit_compile=True, autograph=False)
    outer = tf.function(lambda x: inner(tf.math.erf(x)), autograph=False)
    traced = outer.get_concrete_function(tf.TensorSpec([2]))
    found = tensorflow_private.operations_of_xla(traced)
    assert "Tanh" in found
    assert "Erf" not in found


def test_variables_that_a_function_uses():
    """If it fails: find how this release lists what a function captures."""
    one, other = tf.Variable(1.0), tf.Variable(2.0)

    def step(x):
        return tf.cond(x > 0, lambda: one + x, lambda: x)

    traced = tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec([]))
    found = tensorflow_private.captured_resources(traced)
    assert [handle is one.handle for handle in found] == [True]
    assert all(handle is not other.handle for handle in found)
