"""A learning rate that is lowered in the middle of a run."""

from collections.abc import Sequence

import keras

from kerascale.engine.compat import keras_private
from kerascale.optimizers import Lowered


def lower_schedule(model: keras.Model, factor: float) -> None:
    """Sets the rates of a schedule to a share of what they were at first.

    Nothing is done where the rate is a variable: that is a part of the state.

    Args:
        model: Compiled.
        factor: The share.
    """
    optimizer = keras_private.innermost(model.optimizer)
    schedule = keras_private.schedule_of(optimizer)
    if schedule is None:
        return
    first = schedule.schedule if isinstance(schedule, Lowered) else schedule
    optimizer.learning_rate = Lowered(first, factor)
    # The step is traced anew, with the new rates.
    model.train_function = None


def lower_variable(model: keras.Model, factor: float) -> None:
    """Multiplies a rate that is a variable. Nothing is done where it is a schedule."""
    optimizer = keras_private.innermost(model.optimizer)
    if keras_private.schedule_of(optimizer) is None:
        rate = optimizer.learning_rate
        rate.assign(rate * factor)


def before(model: keras.Model, batches: Sequence[int]) -> list[float]:
    """The learning rates of so many batches ago.

    Args:
        model: Compiled.
        batches: For each rate how many batches have been trained since.
    """
    optimizer = keras_private.innermost(model.optimizer)
    schedule = keras_private.schedule_of(optimizer)
    if schedule is None:
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        return [rate] * len(batches)
    now = int(keras.ops.convert_to_numpy(optimizer.iterations))
    micro_batches = optimizer.gradient_accumulation_steps or 1
    steps = [now - back // micro_batches for back in batches]
    return [
        float(keras.ops.convert_to_numpy(schedule(keras.ops.cast(step, "int64"))))
        for step in steps
    ]
