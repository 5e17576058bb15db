"""How a run executes its steps: a part of its configuration."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from kerascale.engine.execution import agreed, autotune, mode_of_model, step_functions
from kerascale.engine.execution.modes import Mode
from kerascale.engine.mesh import steps as mesh_steps
from kerascale.strategies.model_parallel import ModelParallel
from kerascale.training.context import RunContext

_COMPILED = ("one_program", "split", "compiled")


def choose(
    model: keras.Model,
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
) -> RunContext:
    """Sets how a model executes its steps. All workers call it.

    Args:
        model: Compiled and built.
        context: Of the training.
        callbacks: Those of the recipe and of the user.

    Returns:
        The context, whose configuration has what was chosen by the chief, now or when
        the run began.
    """
    config, folder = context.config, context.folder
    asked = getattr(config, "execution", "fixed")
    if isinstance(context.strategy, ModelParallel):
        return _on_a_mesh(model, context, callbacks)
    if asked == "auto":
        asked = asked if autotune.is_worth_it(context.total_batches) else "fixed"
    if asked == "fixed":  # As the recipe has compiled its model.
        step_functions.set_mode(model, mode_of_model.read(model))
        return context

    strategy = context.strategy
    chosen = agreed.from_chief(strategy, lambda: folder and folder.chosen_execution())
    if chosen is None:
        mode = _mode(model, context, callbacks)
        is_fixed = mode.kind == "loop" and not mode.as_one
        name = "fixed" if is_fixed else mode.kind
        chosen = {"execution": name, "steps_per_execution": mode.steps}
        # What could differ between workers is the chief's.
        chosen = agreed.from_chief(strategy, lambda: chosen)
    if asked in _COMPILED:  # Also where this machine cannot compile it.
        chosen["execution"] = asked
    config = dataclasses.replace(config, **chosen)
    step_functions.set_mode(model, _mode_of_fields(config))
    return dataclasses.replace(context, config=config)


def _on_a_mesh(
    model: keras.Model,
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
) -> RunContext:
    """Many steps are one program there; how many is all that is chosen."""
    config, folder = context.config, context.folder
    chosen = agreed.from_chief(
        context.strategy, lambda: folder and folder.chosen_execution()
    )
    chosen = chosen or {}
    steps = chosen.get("steps_per_execution", 1)
    told = getattr(config, "steps_per_execution", 1)
    if told > 1:
        steps = told
    elif steps == 1:
        steps = mesh_steps.chosen(context.policy.save_every_steps, callbacks)
    step_functions.set_mode(model, Mode("loop", steps))
    if not hasattr(config, "execution"):
        return context
    # On TensorFlow the run may go on: step by step, as many in a call.
    fields = {"execution": "fixed", "steps_per_execution": steps, **chosen}
    return dataclasses.replace(context, config=dataclasses.replace(config, **fields))


def _mode(
    model: keras.Model,
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Mode:
    config, every_steps = context.config, context.policy.save_every_steps
    asked = config.execution
    if config.steps_per_execution > 1:  # It was told.
        return _mode_of_fields(config)
    mode, _ = autotune.choose(
        model,
        context.datasets.train,
        total_steps=context.total_batches,
        callbacks=callbacks,
        wish=asked,
    )
    if every_steps is None:
        return mode
    # A checkpoint is due between two executions.
    return dataclasses.replace(mode, steps=_largest_divisor(every_steps, mode.steps))


def _mode_of_fields(config: Any) -> Mode:
    kind = config.execution if config.execution in _COMPILED else "loop"
    as_one = config.execution == "loop"  # Where replicas share a processor.
    return Mode(kind, config.steps_per_execution, as_one)


def _largest_divisor(number: int, most: int) -> int:
    return max(n for n in range(1, min(number, most) + 1) if number % n == 0)
