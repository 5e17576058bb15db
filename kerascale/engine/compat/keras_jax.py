"""Every use of a private name of Keras' JAX backend, each with the test that guards it.

See `keras_private`. It is imported where the backend is JAX.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np
import tensorflow as tf
from jax import numpy as jnp
from keras.src import ops
from keras.src.backend.common import stateless_scope
from keras.src.backend.jax import random as jax_random
from keras.src.initializers import random_initializers
from keras.src.random import seed_generator

from kerascale.engine.compat import keras_private

# ------------------------------------------------------------------- variables


def set_layout(variable: keras.Variable, layout: jax.sharding.Sharding) -> None:
    """Lays a variable out so, now and whenever it is assigned."""
    value = variable._value
    if len(value.sharding.device_set) == 1:
        # From the host: to slice it on a device is a program for each size.
        value = np.asarray(value)
    variable._layout = layout
    # A program may be given its memory: it is nobody else's.
    variable._value = put(value, layout, may_alias=False)


def put(
    array: Any, layout: jax.sharding.Sharding, *, may_alias: bool | None = None
) -> jax.Array:
    """An array that lies so; each process has all of it, and puts its own part.

    JAX would ask all processes first whether it is the same one.
    """
    is_here = getattr(array, "is_fully_addressable", True)
    if layout.is_fully_addressable or not is_here:
        return jax.device_put(array, layout, may_alias=may_alias)
    host = np.asarray(array)
    # Copies: JAX keeps all of the array for a part of it that it can use as it is.
    return jax.make_array_from_callback(
        host.shape, layout, lambda index: np.array(host[index])
    )


def put_array(variable: keras.Variable, array: np.ndarray) -> None:
    """Gives a variable an array of its shape and dtype, laid out as it is."""
    layout = variable._layout
    variable._value = jnp.asarray(array) if layout is None else put(array, layout)


def read_array(
    variable: keras.Variable, read: Callable[[tuple[slice, ...]], np.ndarray]
) -> None:
    """Gives a variable what is read of an array for each of its blocks.

    Args:
        variable: Laid out so that this process has some blocks, or whole on the host.
        read: Returns a block, of the variable's dtype; `()`: all of it.
    """
    layout = variable._layout
    if layout is None:
        variable._value = jax.device_put(read(()))
    else:
        variable._value = jax.make_array_from_callback(
            tuple(variable.shape), layout, read
        )


def lay(
    variable: keras.Variable, value: jax.Array, layout: jax.sharding.Sharding | None
) -> None:
    """Gives a variable a value and a layout, both as they are."""
    variable._layout, variable._value = layout, value


@contextlib.contextmanager
def filled_on_host() -> Iterator[None]:
    """Within it a variable that begins as one number is filled where it lies.

    Keras makes it on one device and slices it there, which is two programs to compile
    for each shape: an optimizer has many such.
    """
    plain = keras.Variable._initialize_with_initializer

    def initialize(variable: keras.Variable, initializer: Any) -> None:
        number = _number_of(initializer)
        layout = variable._layout
        is_ours = layout is None or isinstance(layout, jax.sharding.Sharding)
        if number is None or not is_ours:
            plain(variable, initializer)
        else:
            shape = tuple(variable._shape)
            own = shape if layout is None else layout.shard_shape(shape)
            dtype = jax.dtypes.canonicalize_dtype(jnp.dtype(variable._dtype))
            read_array(variable, lambda _: np.full(own, number, dtype))

    keras.Variable._initialize_with_initializer = initialize
    try:
        yield
    finally:
        keras.Variable._initialize_with_initializer = plain


def _number_of(initializer: Any) -> Any:
    """What all elements are of a variable that it begins; None: they differ."""
    kind = type(initializer)
    if kind is keras.initializers.Constant:
        return initializer.value
    return {keras.initializers.Zeros: 0, keras.initializers.Ones: 1}.get(kind)


def layout_of(variable: keras.Variable) -> jax.sharding.Sharding | None:
    """How it is laid out; None: nobody has said."""
    return variable._layout


def values_of(variables: Sequence[keras.Variable]) -> list[jax.Array]:
    """Their values, as they are."""
    return [variable._value for variable in variables]


def put_values(
    variables: Sequence[keras.Variable], values: Sequence[jax.Array]
) -> None:
    """Gives variables what a program returned, without a copy."""
    for variable, value in zip(variables, values, strict=True):
        variable._value = value


# ------------------------------------------------------------------- the step


def update_metrics(
    model: keras.Model,
    values: Sequence[jax.Array],
    loss: Any,
    x: Any,
    y: Any,
    outputs: Any,
    sample_weight: Any,
) -> list[jax.Array]:
    """What the variables of metrics are after a batch."""
    _, new = model._update_metrics_variables(values, loss, x, y, outputs, sample_weight)
    return list(new)


def recomputed(
    layer: keras.layers.Layer,
    call: Callable[[], Any],
    lay: Callable[[dict[int, Any]], dict[int, Any]],
) -> Any:
    """What a layer's call returns, computed again for its gradient.

    `keras.remat` hands on neither what the call assigns, such as the state of a random
    generator, nor the losses that it adds.

    Args:
        layer: Which one. A program is traced, in a `keras.StatelessScope`.
        call: Its call, with its arguments.
        lay: Gives values, by id of their variable, as the call shall see them.
    """
    outer = stateless_scope.get_stateless_scope()
    assigned: list[int] = []

    def compute() -> tuple[Any, list[Any], list[Any]]:
        inner = keras.StatelessScope(collect_losses=outer.collect_losses)
        seen = lay(dict(outer.state_mapping))
        inner.state_mapping = dict(seen)
        with inner:
            outputs = call()
        new = {k: v for k, v in inner.state_mapping.items() if v is not seen.get(k)}
        assigned.extend(new)
        # They leave as others: what these were known by may soon be that of others.
        gone = {id(loss) for loss in inner.losses}
        for each in keras_private.all_layers(layer):
            each._loss_ids -= gone
        return outputs, list(new.values()), inner.losses

    outputs, values, losses = jax.checkpoint(compute)()
    outer.state_mapping.update(zip(assigned, values, strict=True))
    if losses:
        layer.add_loss(losses)
    return outputs


class Local(keras_private.LocalOptimizer):
    """An optimizer that applies once an update; what it may write over is chosen.

    Keras' own moves averages at each micro-batch, and adds to sums inside.
    """

    def _backend_apply_gradients(self, grads, trainable_variables):
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(trainable_variables)
        self._backend_update_step(grads, trainable_variables, self.learning_rate)
        if not self.use_ema:
            return
        self._update_model_variables_moving_average(self._trainable_variables)
        every = self.ema_overwrite_frequency
        if every:
            due = (self.iterations + 1) % every == 0
            for variable, average in zip(
                self._trainable_variables,
                self._model_variables_moving_average,
                strict=True,
            ):
                if average is not None:
                    variable.assign(jnp.where(due, average.value, variable.value))


def view_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """The same optimizer, with the same state, that applies as `Local` does."""
    plain = type(optimizer)
    if plain not in _views:
        _views[plain] = type(
            plain.__name__, (plain, Local), {"__module__": plain.__module__}
        )
    return keras_private.with_state_of(_views[plain], optimizer, view_of)


_views: dict[type, type] = {}


def as_keras_reads(logs: dict[str, Any]) -> dict[str, Any]:
    """Numbers of Python, as they stand in a history."""
    return {
        name: float(value) if np.ndim(value) == 0 else np.asarray(value).tolist()
        for name, value in logs.items()
    }


# ------------------------------------------------------------- the first weights

# As Keras' TensorFlow backend folds its seeds.
_SEEDS = np.iinfo(np.int32).max - 1


@contextlib.contextmanager
def draws_of_tensorflow() -> Iterator[None]:
    """Within it `keras.random` draws what it draws on the TensorFlow backend.

    Both backends draw the same seeds, and other numbers from them. What is traced
    keeps the draws of JAX.
    """
    names = ("normal", "uniform", "truncated_normal", "randint")
    before = {name: getattr(jax_random, name) for name in names}
    ops_before = random_initializers.ops
    for name in names:
        setattr(jax_random, name, _drawn(name, before[name]))
    random_initializers.ops = _Ops()
    try:
        yield
    finally:
        random_initializers.ops = ops_before
        for name in names:
            setattr(jax_random, name, before[name])


class _Ops:
    """`keras.ops`, for initializers: matrices are factored by TensorFlow."""

    def __getattr__(self, name: str) -> Any:
        return getattr(ops, name)

    @staticmethod
    def qr(x: Any, mode: str = "reduced") -> tuple[Any, Any]:
        if isinstance(x, jax.core.Tracer):
            return ops.qr(x, mode=mode)
        with tf.device("CPU"):
            q, r = tf.linalg.qr(np.asarray(x), full_matrices=mode == "complete")
        return jnp.asarray(q.numpy()), jnp.asarray(r.numpy())


def _drawn(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    kind = {
        "normal": tf.random.stateless_normal,
        "uniform": tf.random.stateless_uniform,
        "truncated_normal": tf.random.stateless_truncated_normal,
        "randint": tf.random.stateless_uniform,
    }[name]
    first, second = {
        "normal": ("mean", "stddev"),
        "truncated_normal": ("mean", "stddev"),
    }.get(name, ("minval", "maxval"))

    def draw(
        shape: Any,
        low: Any = 0.0,
        high: Any = 1.0,
        dtype: Any = None,
        seed: Any = None,
        **named: Any,
    ) -> Any:
        low, high = named.get(first, low), named.get(second, high)
        known = seed if isinstance(seed, jax.Array) else seed_generator.draw_seed(seed)
        if isinstance(known, jax.core.Tracer) or any(
            isinstance(each, jax.core.Tracer) for each in (low, high)
        ):
            return plain(shape, low, high, dtype=dtype, seed=known)
        default = "int32" if name == "randint" else keras.config.floatx()
        dtype = keras.backend.standardize_dtype(dtype or default)
        if name == "randint" and dtype not in ("int32", "int64"):
            return plain(shape, low, high, dtype=dtype, seed=known)
        folded = np.asarray(known).astype(np.int64) % _SEEDS
        with tf.device("CPU"):
            found = kind(
                shape=shape,
                seed=folded.astype(np.int32),
                dtype=dtype,
                **{first: tf.cast(low, dtype), second: tf.cast(high, dtype)},
            )
        return jax.device_put(found.numpy())

    return draw
