"""How a model was told to execute its steps."""

import contextlib
from collections.abc import Iterator

import keras

from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.execution.modes import Kind, Mode

# An attribute of a model whose mode of execution was set: for which compilation, and
# the mode.
_SET = "_kerascale_mode"


def write(model: keras.Model, mode: Mode) -> None:
    """Tells it, until the next `compile`."""
    vars(model)[_SET] = (keras_private.compilation(model), mode)


def written(model: keras.Model) -> Mode | None:
    """What was written since `compile`."""
    compilation, mode = vars(model).get(_SET, (None, None))
    return mode if compilation is keras_private.compilation(model) else None


def read(model: keras.Model) -> Mode:
    """The mode in which `fit` executes steps.

    `steps_per_execution` and `jit_compile=True` together ask for one program.
    """
    before = written(model)
    steps = model.steps_per_execution if before is None else before.steps
    if model.run_eagerly or replicas.is_distributed(model.distribute_strategy):
        return Mode("loop", steps)
    if before is not None:
        return before
    return Mode("one_program" if model.jit_compile and steps > 1 else "loop", steps)


def kind(model: keras.Model) -> Kind:
    """The kind of that mode."""
    return read(model).kind


@contextlib.contextmanager
def applied(model: keras.Model) -> Iterator[None]:
    """Within it `steps_per_execution` is that of the mode; after it, the user's.

    Keras' `predict` would make a graph of so many steps, and a user's own loop would
    be told of fewer batches.
    """
    before = model.steps_per_execution
    mode = written(model)
    if mode is not None:
        model.steps_per_execution = mode.steps
    try:
        yield
    finally:
        model.steps_per_execution = before


def is_told(model: keras.Model) -> bool:
    """Whether `compile`, or `write` since, has said how steps are executed."""
    return written(model) is not None or model.steps_per_execution > 1
