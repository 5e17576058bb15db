"""How a run executes its steps: a part of its configuration."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import keras

from kerascale.datasets import Datasets
from kerascale.engine import agreement, choosing, execution
from kerascale.engine.known_forms import Form
from kerascale.run_folder import RunFolder


def set_form(
    model: keras.Model,
    config: Any,
    datasets: Datasets,
    callbacks: Sequence[keras.callbacks.Callback],
    folder: RunFolder | None,
    every_steps: int | None,
) -> Any:
    """Sets the form of execution in a model. All workers call it.

    Args:
        model: Compiled and built.
        config: That of the run.
        datasets: Its data.
        callbacks: Those of the recipe and of the user.
        folder: The run folder; None on a worker that is not the chief.
        every_steps: Batches between two checkpoints; None: there are none between
            epochs.

    Returns:
        The configuration, with what was chosen by the chief, now or when the run began.
    """
    asked = getattr(config, "execution", "fixed")
    if asked == "auto":
        steps = config.epochs * datasets.steps_per_epoch
        asked = asked if choosing.is_worth_it(steps) else "fixed"
    if asked == "fixed":  # As the recipe has compiled its model.
        told = Form(execution.one_program(model), model.steps_per_execution)
        execution.set_form(model, told.one_program, told.steps)
        return config

    def choose() -> str:
        chosen = folder.chosen_execution()
        if chosen is None:
            form = _form(model, config, datasets, callbacks, every_steps)
            name = "one_program" if form.one_program else "fixed"
            chosen = {"execution": name, "steps_per_execution": form.steps}
        return json.dumps(chosen)

    chosen = json.loads(agreement.from_chief(model.distribute_strategy, choose))
    if asked == "one_program":  # Also where this machine cannot compile it.
        chosen["execution"] = asked
    config = dataclasses.replace(config, **chosen)
    is_program = config.execution == "one_program"
    execution.set_form(model, is_program, config.steps_per_execution)
    return config


def _form(
    model: keras.Model,
    config: Any,
    datasets: Datasets,
    callbacks: Sequence[keras.callbacks.Callback],
    every_steps: int | None,
) -> Form:
    asked = config.execution
    if config.steps_per_execution > 1:  # It was told.
        return Form(asked == "one_program", config.steps_per_execution)
    form, _ = choosing.choose(
        model,
        datasets.train,
        total_steps=config.epochs * datasets.steps_per_epoch,
        callbacks=callbacks,
        wish=asked,
    )
    if every_steps is None:
        return form
    # A checkpoint is due between two executions.
    return dataclasses.replace(form, steps=_largest_divisor(every_steps, form.steps))


def _largest_divisor(number: int, most: int) -> int:
    return max(n for n in range(1, min(number, most) + 1) if number % n == 0)
