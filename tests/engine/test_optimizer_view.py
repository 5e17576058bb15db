"""A view of an optimizer updates as the optimizer does."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.engine.step import in_update, optimizer_view

OPTIMIZERS = sorted(
    name
    for name, value in vars(keras.optimizers).items()
    if inspect.isclass(value)
    and issubclass(value, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
)


class Halved(keras.optimizers.Adam):
    """A user's own."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate / 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_view_updates_as_the_optimizer_does(name):
    """If it fails for one: it overrides something that `_Local` must leave to it."""

    def weights(view):
        keras.utils.set_random_seed(1)
        variable = keras.Variable(np.arange(6.0).reshape(2, 3), dtype="float32")
        optimizer = vars(keras.optimizers)[name](0.1, clipnorm=1.0, weight_decay=0.01)
        optimizer.build([variable])
        used = optimizer_view.optimizer_view(optimizer) if view else optimizer
        for step in range(4):
            used.apply([tf.fill((2, 3), 0.5 + step)], [variable])
        assert int(optimizer.iterations.numpy()) == 4
        return variable.numpy()

    np.testing.assert_array_equal(weights(True), weights(False))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize(
    "make",
    [
        keras.optimizers.Adam,
        lambda rate: keras.optimizers.Adam(rate, amsgrad=True),
        lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.1),
        Halved,
    ],
    ids=["Adam", "amsgrad", "AdamW", "a user's own"],
)
def test_view_of_adam_has_the_bits_of_keras(make, jit_compile):
    """If it fails: Keras computes Adam otherwise; follow it in `engine/adam.py`."""

    def trained(view):
        draw = np.random.default_rng(0).normal
        variables = [
            keras.Variable(draw(size=shape), dtype=dtype)
            for shape, dtype in (((30, 7), "float32"), ((5,), "float64"))
        ]
        table = keras.Variable(draw(size=(9, 3)), dtype="float32")
        rate = keras.optimizers.schedules.CosineDecay(0.01, 20)
        optimizer = make(rate)
        optimizer.build([*variables, table])
        used = optimizer_view.optimizer_view(optimizer) if view else optimizer

        @tf.function(jit_compile=jit_compile)
        def step(gradients, values):
            rows = tf.IndexedSlices(values, tf.constant([1, 4]), (9, 3))
            used.apply([*gradients, rows], [*variables, table])

        for _ in range(8):
            gradients = [tf.constant(draw(size=v.shape), v.dtype) for v in variables]
            step(gradients, tf.constant(draw(size=(2, 3)), "float32"))
        return [v.numpy() for v in (*variables, table, *optimizer.variables)]

    for ours, theirs in zip(trained(True), trained(False), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Shrinking(in_update.InUpdate):
    """Each time that it is applied can be seen."""

    def constrained(self, value):
        return value * 0.9


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.1, weight_decay=0.1),
        lambda: keras.optimizers.Adam(0.1, use_ema=True, ema_overwrite_frequency=2),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)),
    ],
    ids=["Adam", "a moving average", "SGD", "loss scale"],
)
def test_a_constraint_within_the_update_holds_once(make):
    """If it fails for a moving average: it is written behind the update."""

    def weights(view):
        variable = keras.Variable([1.0, 2.0])
        variable.constraint = Shrinking()
        optimizer = make()
        optimizer.build([variable])
        used = optimizer_view.optimizer_view(optimizer) if view else optimizer
        for _ in range(3):
            used.apply([tf.constant([1.0, 2.0])], [variable])
        return variable.numpy()

    np.testing.assert_array_equal(weights(True), weights(False))


def test_view_of_several_optimizers():
    """If it fails: `MultiOptimizer` holds its parts otherwise."""

    def weights(view):
        a, b = keras.Variable([1.0, 2.0], name="a"), keras.Variable([3.0], name="b")
        optimizers = {"a": keras.optimizers.Adam(0.1), "b": keras.optimizers.SGD(0.1)}

        optimizer = keras.optimizers.MultiOptimizer(lambda v: optimizers[v.name])
        optimizer.build([a, b])
        used = optimizer_view.optimizer_view(optimizer) if view else optimizer
        for _ in range(3):
            used.apply([tf.constant([1.0, 2.0]), tf.constant([1.0])], [a, b])
        return [*a.numpy(), *b.numpy(), optimizer.optimizers[0].iterations.numpy()]

    assert weights(True) == weights(False)


def test_view_shares_state_and_leaves_the_class():
    """If it fails: optimizers keep state outside of `__dict__`."""
    variable = keras.Variable([1.0])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1))
    optimizer.build([variable])
    view = optimizer_view.optimizer_view(optimizer)
    view.apply([tf.constant([float("inf")])], [variable])
    assert float(optimizer.dynamic_scale.numpy()) == 2.0**14
    view.apply([tf.constant([1.0])], [variable])
    assert int(optimizer.iterations.numpy()) == 1
    assert type(optimizer) is keras.optimizers.LossScaleOptimizer


def test_recorder_takes_one_update():
    variable = keras.Variable([1.0])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build([variable])
    view = optimizer_view.optimizer_view(optimizer)
    with optimizer_view.recording(optimizer_view.Recorder()) as recorder:
        view.apply_gradients([(tf.constant([2.0]), variable)])
        assert float(variable.numpy()[0]) == 1.0
        with pytest.raises(ValueError, match=r"expected one optimizer.apply\(\)"):
            view.apply([tf.constant([2.0])], [variable])
    np.testing.assert_array_equal(recorder.gradients[0], [2.0])


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_the_gradient_of_repeated_ids_is_summed_before_it_is_clipped(clip):
    """Keras takes the norm of both rows on TensorFlow, and moves by 1.414."""
    inputs = keras.Input((2,), dtype="int32")
    embedding = keras.layers.Embedding(1, 1, embeddings_initializer="zeros")
    model = ks.scale(keras.Model(inputs, embedding(inputs)), execution="fixed")
    model.compile(
        keras.optimizers.SGD(1.0, **{clip: 1.0}),
        lambda y, outputs: keras.ops.sum(outputs, axis=(1, 2)),
    )
    model.fit(np.zeros((1, 2), "int32"), np.zeros((1, 2, 1)), verbose=0)
    np.testing.assert_allclose(embedding.get_weights()[0], [[-1.0]], rtol=1e-6)
