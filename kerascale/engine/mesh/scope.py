"""Where a model for a mesh is made."""

import contextlib
from collections.abc import Iterator

import jax

from kerascale.engine.compat import keras_jax
from kerascale.engine.mesh import kept_programs
from kerascale.strategies.model_parallel import ModelParallel


@contextlib.contextmanager
def made_for(strategy: ModelParallel) -> Iterator[ModelParallel]:
    """Within it variables are made in the host's memory, with TensorFlow's draws.

    A device may be too small for all of them: they are cut before the first step.
    """
    kept_programs.find()
    host = jax.local_devices(backend="cpu")[0]
    with (
        jax.default_device(host),
        keras_jax.draws_of_tensorflow(),
        keras_jax.filled_on_host(),
    ):
        yield strategy
