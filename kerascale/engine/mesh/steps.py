"""How many steps of `fit` are one execution."""

from typing import Any

import keras

from kerascale.engine.data import fit_arguments
from kerascale.engine.execution import autotune, mode_of_model

# From here on a call costs nothing beside its steps, and progress is still shown.
MOST = 16


def chosen(every_steps: int | None, callbacks: Any = ()) -> int:
    """Steps of an execution where nobody has said it.

    Args:
        every_steps: Steps between two checkpoints, which are due between executions.
        callbacks: One of them may have to look at each step.
    """
    if any(autotune.wants_every_step(callback) for callback in callbacks):
        return 1
    most = MOST if every_steps is None else min(MOST, every_steps)
    return max(
        n for n in range(1, most + 1) if every_steps is None or every_steps % n == 0
    )


def of_fit(
    model: keras.Model, data: Any, callbacks: Any, steps_per_epoch: int | None
) -> int:
    """Steps of an execution of a `fit`.

    Args:
        model: Compiled.
        data: Its feed.
        callbacks: Those of the user.
        steps_per_epoch: Batches of an epoch; None: that is not known.
    """
    if getattr(data, "batches", None) is None:
        return 1
    mode = mode_of_model.written(model)
    if mode is not None:
        most = mode.steps
    elif model.steps_per_execution > 1:
        most = model.steps_per_execution
    else:
        most = chosen(None, fit_arguments.as_list(callbacks))
    return min(most, steps_per_epoch or most)
