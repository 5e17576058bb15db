"""Variables that are cut over processes, put together one after the other."""

import contextlib
from collections.abc import Iterator

import jax
import keras
import numpy as np

from kerascale.engine import state
from kerascale.engine.compat import keras_jax
from kerascale.engine.mesh import exchange


def array(variable: keras.Variable) -> np.ndarray:
    """All of a variable."""
    (value,) = keras_jax.values_of([variable])
    return exchange.whole(value)


@contextlib.contextmanager
def on_host(model: keras.Model) -> Iterator[None]:
    """See `engine.collectives.whole.on_host`."""
    variables = state.variables(model)
    host = jax.local_devices(backend="cpu")[0]
    before = []
    for variable, value in zip(variables, keras_jax.values_of(variables), strict=True):
        if value.is_fully_addressable:
            continue
        copy = jax.device_put(exchange.whole(value), host)
        before.append((variable, value, keras_jax.layout_of(variable), copy))
    for variable, _, _, copy in before:
        keras_jax.lay(variable, copy, None)
    try:
        yield
    finally:
        for variable, value, layout, copy in before:
            (now,) = keras_jax.values_of([variable])
            kept = value if now is copy else keras_jax.put(now, layout)
            keras_jax.lay(variable, kept, layout)
