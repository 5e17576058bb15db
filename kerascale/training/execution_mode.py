"""How a run executes its steps: a part of its configuration."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import keras

from kerascale.datasets import Datasets
from kerascale.engine.collectives import consensus
from kerascale.engine.execution import autotune, mode_of_model, step_functions
from kerascale.engine.execution.modes import Form
from kerascale.runs.folder import RunFolder

_COMPILED = ("one_program", "split")


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
        asked = asked if autotune.is_worth_it(steps) else "fixed"
    if asked == "fixed":  # As the recipe has compiled its model.
        told = Form(mode_of_model.kind(model), model.steps_per_execution)
        step_functions.set_form(model, told)
        return config

    def choose() -> str:
        chosen = folder.chosen_execution()
        if chosen is None:
            form = _form(model, config, datasets, callbacks, every_steps)
            name = "fixed" if form.kind == "loop" else form.kind
            chosen = {"execution": name, "steps_per_execution": form.steps}
        return json.dumps(chosen)

    chosen = json.loads(consensus.from_chief(model.distribute_strategy, choose))
    if asked in _COMPILED:  # Also where this machine cannot compile it.
        chosen["execution"] = asked
    config = dataclasses.replace(config, **chosen)
    step_functions.set_form(model, _told(config))
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
        return _told(config)
    form, _ = autotune.choose(
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


def _told(config: Any) -> Form:
    kind = config.execution if config.execution in _COMPILED else "loop"
    return Form(kind, config.steps_per_execution)


def _largest_divisor(number: int, most: int) -> int:
    return max(n for n in range(1, min(number, most) + 1) if number % n == 0)
