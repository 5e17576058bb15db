"""How a model was told to execute its steps."""

import keras

from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.execution.modes import Kind

# An attribute of a model whose mode of execution was set: for which compilation, and
# the kind of mode.
_SET = "_kerascale_form"


def write(model: keras.Model, kind: Kind) -> None:
    """Tells it, until the next `compile`."""
    vars(model)[_SET] = (keras_private.compilation(model), kind)


def written(model: keras.Model) -> Kind | None:
    """What was written since `compile`."""
    compilation, kind = vars(model).get(_SET, (None, None))
    return kind if compilation is keras_private.compilation(model) else None


def kind(model: keras.Model) -> Kind:
    """The kind of mode in which steps are executed.

    `steps_per_execution` and `jit_compile=True` together ask for one program.
    """
    if model.run_eagerly or replicas.is_distributed(model.distribute_strategy):
        return "loop"
    before = written(model)
    if before is not None:
        return before
    many = model.jit_compile and model.steps_per_execution > 1
    return "one_program" if many else "loop"


def is_told(model: keras.Model) -> bool:
    """Whether `compile`, or `write` since, has said how steps are executed."""
    return written(model) is not None or model.steps_per_execution > 1
