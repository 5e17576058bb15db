"""How steps should be executed, found by measuring a few ways on the model itself.

What a trial trains is undone: no weight, seed, metric or place in the data changes.
"""

import contextlib
import dataclasses
import random
import time
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from kerascale.console import duration, say
from kerascale.datasets.pipeline import Batches
from kerascale.engine import (
    execution,
    feed,
    known_forms,
    prepare,
    private_keras,
    replicas,
    state,
)
from kerascale.engine.known_forms import Form

# An execution takes about that long: between two of them a request to stop is seen,
# and progress is shown.
_EXECUTION_SECONDS = 1.0
_MOST_STEPS = 1024
# What is gathered in front of a program takes at most this much memory.
_MOST_BYTES = 128 * 2**20

# A program has to save more than its compilation takes.
_WORTH_COMPILING_SECONDS = 20.0
_WINDOW_SECONDS = 0.3
_ROUNDS = 3
# Another form is taken if it is faster by more than what measuring is off by.
_CLEARLY = 0.95

# State that an operation keeps in variables is given back; any other is not.
_STATE_IN_VARIABLES = frozenset(
    "Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp CheckNumerics "
    "DeviceIndex If IteratorGetNext ReadVariableOp StatefulPartitionedCall VarHandleOp "
    "VarIsInitializedOp While".split()
)
_STATE_IN_VARIABLES_BEGINS = ("ResourceApply", "ResourceGather", "ResourceScatter")


def choose(
    model: keras.Model,
    batches: Batches,
    total_steps: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Form:
    """The form in which a model trains fastest here, which is said.

    Args:
        model: Compiled and built.
        batches: What it will be trained on.
        total_steps: Steps of the whole training.
        callbacks: Those of `fit`.

    Returns:
        A form; what `compile` was told, where nothing can be tried.
    """
    told = Form(execution.one_program(model), model.steps_per_execution)
    if (
        replicas.is_distributed(model.distribute_strategy)
        or model.run_eagerly
        or not isinstance(batches, Batches)
    ):
        say("execution: as told (auto chooses on one device, for data of arrays)")
        return told
    watching = [type(c).__name__ for c in callbacks if wants_every_step(c)]
    if watching:
        say(
            f"execution: step by step, because {', '.join(watching)} looks at every "
            "step; with `every_step = False` in its class it may be faster"
        )
        return Form(False, 1)
    known = known_forms.read(model, batches)
    if known is not None:
        say(f"execution: {known} (measured before)")
        return known
    began = time.monotonic()
    if batches.first_step:
        batches = dataclasses.replace(batches, first_step=0)
    trial = _Trial(model, batches)
    with _undone(model):
        form, sure = trial.run(total_steps)
    if sure:
        known_forms.write(model, batches, form)
    took = duration(time.monotonic() - began)
    say(f"execution: {form} ({trial.said()}; trial of {took})")
    return form


def wants_every_step(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback must be called after each single step.

    One that overrides `on_train_batch_begin` or `on_train_batch_end` must, unless its
    class says `every_step = False`.
    """
    every_step = getattr(callback, "every_step", None)
    if every_step is not None:
        return bool(every_step)
    if private_keras.counts_steps(callback):
        return False
    names = "on_train_batch_begin on_train_batch_end on_batch_begin on_batch_end"
    # An attribute of the object itself, as in a LambdaCallback, is another too.
    return any(
        getattr(getattr(callback, name), "__func__", None)
        is not getattr(keras.callbacks.Callback, name)
        for name in names.split()
    )


class _Trial:
    """Measures the forms of one model."""

    def __init__(self, model: keras.Model, batches: Batches) -> None:
        self._model = model
        self._batches = batches
        self._feed = feed.from_batches(batches, model.distribute_strategy)
        self._seconds: dict[str, float] = {}
        self._told = Form(execution.one_program(model), model.steps_per_execution)
        prepare.build(model, self._feed.batch_spec)

    def said(self) -> str:
        if not self._seconds:
            return "nothing was tried: a step changes what could not be given back"
        return ", ".join(
            f"{name} {seconds * 1000:.3g} ms a step"
            for name, seconds in self._seconds.items()
        )

    def run(self, total_steps: int) -> tuple[Form, bool]:
        """The form, and whether all of them were measured."""
        model, batches = self._model, self._batches
        loop = execution.of_form(model, 0)
        if not self._can_be_undone(loop):
            return self._told, False
        self._time(loop, 1)  # It is traced.
        seconds = self._time(loop, 2)
        seconds = self._time(loop, self._steps_of(seconds))
        self._seconds["loop"] = seconds
        steps = min(
            max(1, int(_EXECUTION_SECONDS / seconds)),
            _MOST_STEPS,
            batches.steps_per_epoch,
        )
        form = Form(False, steps)
        model.train_function = loop
        if total_steps * seconds < _WORTH_COMPILING_SECONDS:
            return form, False
        if batches.num_examples < batches.batch_size or self._has_slow_kernels(loop):
            return form, True
        steps = max(1, min(steps, _MOST_BYTES // self._bytes_of_batch()))
        program = execution.of_form(model, steps)
        self._time(program, 1)  # It is compiled.
        if not program.is_one_program:
            return form, True
        # A convolution can take a hundred times as long in a program.
        once = self._time(program, 1)
        if once > 3 * seconds + 0.05:
            self._seconds["one program"] = once
            return form, True
        return self._faster(loop, program, form, Form(True, steps)), True

    def _faster(
        self,
        loop: execution.Execution,
        program: execution.Execution,
        form: Form,
        other: Form,
    ) -> Form:
        count = min(self._steps_of(self._seconds["loop"]), other.steps)
        times = [
            (self._time(loop, count), self._time(program, count))
            for _ in range(_ROUNDS)
        ]
        ours, others = (min(column) for column in zip(*times, strict=True))
        self._seconds = {"loop": ours, "one program": others}
        if others < _CLEARLY * ours:
            self._model.train_function = program
            return other
        return form

    def _has_slow_kernels(self, run: execution.Execution) -> bool:
        """Whether a single step in a program takes too long to be measured.

        In a loop of XLA's a convolution takes seconds on a CPU, and once begun it
        cannot be interrupted.
        """
        if tf.config.list_logical_devices("GPU"):
            return False
        traced = run.traced(iter(self._feed.get_tf_dataset()))
        return any(
            name.startswith(("Conv2D", "Conv3D", "DepthwiseConv"))
            for name in private_keras.operations(traced)
        )

    def _steps_of(self, seconds: float) -> int:
        most = self._batches.num_examples // self._batches.batch_size
        return max(1, min(int(_WINDOW_SECONDS / seconds), most))

    def _bytes_of_batch(self) -> int:
        specs = keras.tree.flatten(self._feed.batch_spec)
        rows = sum(s.dtype.size * (s.shape[1:].num_elements() or 1) for s in specs)
        return max(1, rows * self._batches.batch_size)

    def _time(self, run: execution.Execution, steps: int) -> float:
        """Seconds of a step, of that many in one execution."""
        steps = min(steps, self._batches.steps_per_epoch)
        self._model.steps_per_execution = steps
        iterator = iter(self._feed.get_tf_dataset())
        began = time.perf_counter()
        logs = run(iterator)
        for value in logs.values():
            np.asarray(value)  # It is over when its result is there.
        return (time.perf_counter() - began) / steps

    def _can_be_undone(self, run: execution.Execution) -> bool:
        """Whether a step changes nothing that `_undone` does not give back."""
        self._model.steps_per_execution = 2
        traced = run.traced(iter(self._feed.get_tf_dataset()))
        known = {id(v.value.handle) for v in state.variables(self._model)}
        # Variables that are written alone are not among those of the function.
        own = (t for t in traced.captured_inputs if t.dtype == tf.resource)
        return all(id(handle) in known for handle in own) and all(
            op in _STATE_IN_VARIABLES or op.startswith(_STATE_IN_VARIABLES_BEGINS)
            for op in private_keras.stateful_operations(traced)
        )


@contextlib.contextmanager
def _undone(model: keras.Model) -> Iterator[None]:
    """Gives back, at the end, all that a training changes."""
    generators = random.getstate(), np.random.get_state()
    steps = model.steps_per_execution
    before = state.capture(model)
    try:
        yield
    finally:
        state.restore(model, before)
        model.steps_per_execution = steps
        random.setstate(generators[0])
        np.random.set_state(generators[1])
