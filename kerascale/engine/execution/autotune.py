"""How `fit` executes steps: as it was told, as was measured before, or by a trial."""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

import keras
import tensorflow as tf

from kerascale.config import Execution
from kerascale.datasets.pipeline import Batches
from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.execution import (
    agreed,
    as_one,
    autotune_cache,
    mode_of_model,
    step_functions,
    trials,
)
from kerascale.engine.execution.autotune_cache import Known
from kerascale.engine.execution.modes import Mode
from kerascale.errors import RefusedError
from kerascale.runtime.console import duration, say

# Says how, wherever it would be chosen.
VARIABLE = "KERASCALE_EXECUTION"

# With fewer steps than these nothing is gained.
_FEWEST_STEPS = 64

# An attribute of a model: what was chosen for it.
_CHOSEN = "_kerascale_chosen"


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """What was chosen for a model.

    Args:
        key: For which compilation, size of batch and wish.
        enough: Steps of a training that is long enough to choose anew.
        steps: Those of each `fit` until now.
    """

    key: tuple[Any, ...]
    enough: float
    steps: int


def before_fit(
    model: keras.Model,
    batches: Batches | None,
    total_steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    is_silent: bool,
) -> None:
    """Chooses the mode of execution for `fit`, unless the model was told one.

    Args:
        model: Compiled.
        batches: What it is trained on; None where they are not computed from their
            place.
        total_steps: Steps of the whole `fit`.
        callbacks: Those of `fit`.
        is_silent: Whether nothing is said of what was chosen.
    """
    wish = model.execution
    if wish not in get_args(Execution):
        raise RefusedError(
            f"execution: expected one of {', '.join(get_args(Execution))}. Received: "
            f"{wish!r:.80}. Set it in the class, or by scale(model, execution=...)."
        )
    if batches is None or wish == "fixed" or not can_choose(model):
        return
    chosen = _chosen(model)
    if chosen is None:
        if mode_of_model.is_told(model):
            return
        done, seconds = step_functions.trained(model)  # One by one, until now.
        if replicas.num_workers(model.distribute_strategy) > 1:
            seconds = None  # Each has measured another.
        total_steps += done
        if wish == "auto" and not is_worth_it(total_steps, seconds):
            return
    # What an earlier `fit` chose may not do for the callbacks of a short one.
    tell = (lambda text: None) if is_silent else say
    watching = agreed.any_of(
        model.distribute_strategy, any(wants_every_step(each) for each in callbacks)
    )
    key = (keras_private.compilation(model), batches.batch_size, wish, watching)
    if chosen is not None and chosen.key == key:
        total_steps += chosen.steps  # Many short ones are a long one.
        vars(model)[_CHOSEN] = dataclasses.replace(chosen, steps=total_steps)
        if total_steps < chosen.enough:
            mode = mode_of_model.read(model).of_epochs(batches.steps_per_epoch)
            step_functions.set_mode(model, mode)
            return
    mode, enough = choose(model, batches, total_steps, callbacks, wish=wish, tell=tell)
    step_functions.set_mode(model, mode)
    vars(model)[_CHOSEN] = _Chosen(key, enough, total_steps)


def choose(
    model: keras.Model,
    batches: Batches,
    total_steps: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    wish: Execution = "auto",
    tell: Callable[[str], None] = say,
) -> tuple[Mode, float]:
    """The mode in which a model trains fastest here, which is said.

    All workers call it, and get what the chief has measured.

    Args:
        model: Compiled and built.
        batches: What it will be trained on.
        total_steps: Steps of the whole training.
        callbacks: Those of `fit`.
        wish: Not `auto`: only the number of steps is chosen.
        tell: Says it.

    Returns:
        A mode; what `compile` was told, where nothing can be tried. And the steps of
        a training for which it would be another, if longer.
    """
    compiled_with = mode_of_model.read(model)
    if _chosen(model) is not None:  # By the `fit` before: nobody told it.
        compiled_with = Mode("loop", 1)
    strategy = model.distribute_strategy
    if not replicas.is_chief(strategy):
        tell = lambda text: None  # noqa: E731
    if not can_choose(model) or not batches.is_indexed:
        tell("execution: step by step (auto chooses in a graph, for arrays)")
        return compiled_with, math.inf
    wish = agreed.from_chief(strategy, lambda: _forced() or wish)
    if wish == "fixed":
        return compiled_with, math.inf
    if _watching(strategy, callbacks, tell):
        return Mode("loop", 1), math.inf
    if wish == "compiled" or not as_one.can_be(model):
        mode, enough = _measured(model, batches, total_steps, wish, tell)
        return mode or compiled_with, enough
    # The model is on one device then, and what is measured is what is measured there.
    with as_one.applied(model, batches):
        mode, enough = _measured(model, batches, total_steps, wish, tell)
    if mode is None:
        return compiled_with, enough
    count = strategy.num_replicas_in_sync
    tell(f"execution: {count} devices of one processor compute a batch as a whole")
    return dataclasses.replace(mode, as_one=True), enough


def _measured(
    model: keras.Model,
    batches: Batches,
    total_steps: int,
    wish: Execution,
    tell: Callable[[str], None],
) -> tuple[Mode | None, float]:
    """What `choose` gives; no mode, where nothing can be tried."""
    known = _known(model, batches)
    mode = _mode_of(known, wish, total_steps)
    if mode is not None:
        tell(f"execution: {mode} (measured before)")
        return mode, math.inf if mode.kind != "loop" else known.enough
    began = time.monotonic()
    trial = trials.Trial(model, dataclasses.replace(batches, first_step=0))
    with trials.undone(model):
        known = trial.run(total_steps, None if wish == "auto" else wish)
    if known is None:
        tell("execution: as told, because a step changes what could not be given back")
        return None, math.inf
    if wish == "auto" and replicas.is_chief(model.distribute_strategy):
        autotune_cache.write(model, batches, known)
    mode = known.mode(total_steps if wish == "auto" else math.inf)
    took = duration(time.monotonic() - began)
    tell(f"execution: {mode} ({trial.said()}; trial of {took})")
    return mode, math.inf if mode.kind != "loop" else known.enough


def _mode_of(known: Known | None, wish: Execution, total_steps: float) -> Mode | None:
    """The mode, if enough is known for it."""
    if known is None or wish != "auto":
        return None
    if known.compiled is None and total_steps >= known.enough:
        return None
    return known.mode(total_steps)


def _known(model: keras.Model, batches: Batches) -> Known | None:
    """What the chief knows of such a model."""

    def read() -> dict[str, Any] | None:
        known = autotune_cache.read(model, batches)
        return None if known is None else dataclasses.asdict(known)

    found = agreed.from_chief(model.distribute_strategy, read)
    return None if found is None else Known(**found)


def _watching(
    strategy: tf.distribute.Strategy,
    callbacks: Sequence[keras.callbacks.Callback],
    tell: Callable[[str], None],
) -> bool:
    """Whether one of them looks at every step, on any worker, which is said."""
    names = [type(c).__name__ for c in callbacks if wants_every_step(c)]
    if not agreed.any_of(strategy, bool(names)):
        return False
    who = ", ".join(names) or "a callback of another worker"
    tell(
        f"execution: step by step, because {who} looks at every step; with "
        "`every_step = False` in its class it may be faster"
    )
    return True


def _chosen(model: keras.Model) -> _Chosen | None:
    chosen = vars(model).get(_CHOSEN)
    if chosen is None or chosen.key[0] is not keras_private.compilation(model):
        return None
    return chosen


def can_choose(model: keras.Model) -> bool:
    """Whether there is a choice: in a graph."""
    return not model.run_eagerly


def is_worth_it(total_steps: int, step_seconds: float | None = None) -> bool:
    """Whether a training is long enough for something to be chosen.

    Args:
        total_steps: Of the whole training.
        step_seconds: How long a step takes one by one; None: that is not known.
    """
    if total_steps >= _FEWEST_STEPS or _forced() is not None:
        return True
    if step_seconds is None:
        return False
    return total_steps * step_seconds >= autotune_cache.WORTH_COMPILING_SECONDS


def _forced() -> Execution | None:
    value = os.environ.get(VARIABLE)
    if not value or value == "auto":
        return None
    if value not in get_args(Execution):
        raise RefusedError(
            f"{VARIABLE}: expected one of {', '.join(get_args(Execution))}. Received: "
            f"{value!r:.80}. Unset it."
        )
    return value


def wants_every_step(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback must be called after each single step.

    One that overrides `on_train_batch_begin` or `on_train_batch_end` must, unless its
    class says `every_step = False`.
    """
    every_step = getattr(callback, "every_step", None)
    if every_step is not None:
        return bool(every_step)
    if keras_private.counts_steps(callback):
        return False
    names = "on_train_batch_begin on_train_batch_end on_batch_begin on_batch_end"
    # An attribute of the object itself, as in a LambdaCallback, is another too.
    return any(
        getattr(getattr(callback, name), "__func__", None)
        is not getattr(keras.callbacks.Callback, name)
        for name in names.split()
    )
