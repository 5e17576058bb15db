"""How a model was told to execute its steps."""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import keras

from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.execution.modes import Kind, Mode

# Steps in a call of `evaluate`: calls cost nothing then, and progress is shown.
_MOST_OF_EVALUATE = 64

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
    if model.run_eagerly:
        return Mode("loop", steps)
    is_distributed = replicas.is_distributed(model.distribute_strategy)
    if before is not None:
        may_be = before.kind in ("loop", "compiled") or not is_distributed
        return before if may_be else Mode("compiled", steps)
    if is_distributed:  # A step is compiled where it can be, in a loop.
        return Mode("loop", steps)
    return Mode("one_program" if model.jit_compile and steps > 1 else "loop", steps)


def kind(model: keras.Model) -> Kind:
    """The kind of that mode."""
    return read(model).kind


@contextlib.contextmanager
def applied(
    model: keras.Model, steps_per_epoch: int | None, is_indexed: bool
) -> Iterator[None]:
    """Within it `steps_per_execution` is that of the mode; after it, the user's.

    Keras' `predict` would make a graph of so many steps, and a user's own loop would
    be told of fewer batches.

    Args:
        model: Compiled.
        steps_per_epoch: What `fit` was asked for; or None. Keras counts whole
            executions of such an epoch, and would begin the data anew too early: the
            steps of an execution divide it.
        is_indexed: Whether the data are of the kind that modes are chosen for. A `fit`
            on other data is told of batches as `compile` has it.
    """
    before = model.steps_per_execution
    mode = written(model)
    if mode is not None and is_indexed:
        steps = mode.steps
        if steps_per_epoch:
            steps = max(d for d in range(1, steps + 1) if steps_per_epoch % d == 0)
        model.steps_per_execution = steps
    try:
        yield
    finally:
        model.steps_per_execution = before


@contextlib.contextmanager
def in_long_executions(model: keras.Model, callbacks: Any) -> Iterator[None]:
    """Within it `evaluate` runs many steps in a call, if nobody looks at each.

    Args:
        model: Compiled.
        callbacks: Those that `evaluate` was given.
    """
    before = model.steps_per_execution
    if before == 1 and not looks_at_batches(callbacks, "test"):
        model.steps_per_execution = _MOST_OF_EVALUATE
    try:
        yield
    finally:
        model.steps_per_execution = before


def looks_at_batches(callbacks: Any, kind: Literal["test", "predict"]) -> bool:
    """Whether somebody wants to be told of each batch."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return True
    base = keras.callbacks.Callback
    return any(
        getattr(type(callback), name) is not getattr(base, name)
        for callback in keras.tree.flatten(callbacks or [])
        for name in (f"on_{kind}_batch_begin", f"on_{kind}_batch_end")
    )


def is_told(model: keras.Model) -> bool:
    """Whether `compile`, or `write` since, has said how steps are executed."""
    return written(model) is not None or model.steps_per_execution > 1
