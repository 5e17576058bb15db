"""How steps should be executed, found by measuring a few ways on the model itself.

What a trial trains is undone: no weight, seed, metric or place in the data changes.
"""

import contextlib
import dataclasses
import math
import random
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.pipeline import Batches
from kerascale.engine import state
from kerascale.engine.collectives import replicas, shared_memory, stop_votes
from kerascale.engine.compat import tensorflow_private
from kerascale.engine.data import feed
from kerascale.engine.execution import agreed, modes, step_functions
from kerascale.engine.execution.autotune_cache import Known
from kerascale.engine.execution.executor import Executor
from kerascale.engine.execution.modes import Kind, Mode
from kerascale.engine.step import build
from kerascale.engine.step.private import method as private
from kerascale.runtime.console import say

# A program that was compiled for more is compiled again.
_LONGEST_EXECUTION_SECONDS = 4.0
# What a program is compiled for is known before its pace is: it is often twice that of
# a loop. To begin and end an execution costs some milliseconds.
_PROGRAM_SPEEDUP = 2
# What is gathered in front of a program takes at most this much memory.
_MOST_BYTES = 128 * 2**20

_WINDOW_SECONDS = 0.3
_ROUNDS = 3
# Another mode is taken if it is faster by more than what measuring is off by.
_CLEARLY = 0.95

# To begin the programs of a split step costs a millisecond or two: of a shorter one
# none is compiled.
_WORTH_SPLITTING = 0.005

# Of a longer step nearly all is arithmetic: what one program saves beside it is less
# than what can be measured, and to try it costs many seconds. Parts on a core each may
# be quicker all the same.
_ALL_ARITHMETIC = 0.5

# Of such a step the parts are tried first. Where they take so much less than the loop,
# one program could hardly do better, and it is not tried.
_MUCH_ARITHMETIC = 0.02
_GAINS_ENOUGH = 0.67

# State that an operation keeps in variables is given back; any other is not.
_STATE_IN_VARIABLES = frozenset(
    "Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp CheckNumerics "
    "CollectiveGatherV2 CollectiveReduceV2 CollectiveReduceV3 "
    "DeviceIndex If IteratorGetNext ReadVariableOp StatefulPartitionedCall VarHandleOp "
    "VarIsInitializedOp VariableShape While".split()
)
_STATE_IN_VARIABLES_BEGINS = ("ResourceApply", "ResourceGather", "ResourceScatter")


class Trial:
    """Measures the modes of one model."""

    def __init__(self, model: keras.Model, batches: Batches) -> None:
        self._model = model
        self._batches = batches
        self._strategy = model.distribute_strategy
        self._feed = feed.from_batches(batches, self._strategy)
        self._seconds: dict[str, float] = {}
        if replicas.is_distributed(self._strategy):
            build.before_first_step(model, self._feed.batch_spec)
        else:
            build.build(model, self._feed.batch_spec)

    def said(self) -> str:
        """What was measured, for a person."""
        return ", ".join(
            f"{name} {seconds * 1000:.3g} ms a step"
            for name, seconds in self._seconds.items()
        )

    def run(self, total_steps: float, forced: Kind | None = None) -> Known | None:
        """Measures; the model's train function is then the faster one.

        Args:
            total_steps: Steps of the whole training.
            forced: The kind that it shall be, if it can be.

        Returns:
            None if nothing can be tried.
        """
        model = self._model
        loop = step_functions.trial_of(model, Mode("loop", 1))
        if not self._can_be_undone(loop):
            return None
        self._time(loop, 2)  # It is traced.
        seconds = self._time(loop, 2)
        is_long = total_steps >= Known(seconds, 1).enough
        is_slow = seconds >= _ALL_ARITHMETIC
        if is_long and not is_slow:  # Of two, half is the beginning of an execution.
            seconds = self._time(loop, self._steps_of(seconds))
            is_long = total_steps >= Known(seconds, 1).enough
        self._seconds["loop"] = seconds
        known = Known(seconds, self._even(modes.most_steps(seconds)))
        model.train_function = loop
        if forced == "loop":
            return dataclasses.replace(known, steps=max(2, known.steps))
        if not (forced or is_long):
            return known
        best, mode = loop, Mode("loop", 0)
        if self._may_be_compiled(loop, forced):
            for kind in self._to_try(forced, seconds):
                if kind == "one_program":
                    best, mode = self._with_program(best, mode, forced is not None)
                elif (
                    forced
                    or kind == "compiled"
                    or min(self._seconds.values()) >= _WORTH_SPLITTING
                ):
                    best, mode = self._with_loop(kind, best, mode, forced is not None)
                if mode.kind == "split" and self._is_enough():
                    break
        model.train_function = best
        return dataclasses.replace(
            known,
            compiled=mode.kind,
            compiled_steps=mode.steps,
            compiled_most=mode.most,
        )

    def _to_try(self, forced: Kind | None, seconds: float) -> list[Kind]:
        if replicas.is_distributed(self._strategy):
            # Its steps are compiled already where `compile` was told so.
            return [] if self._model.jit_compile and not forced else ["compiled"]
        if forced:
            return [forced]
        is_slow = seconds >= _MUCH_ARITHMETIC
        return ["split", "one_program"] if is_slow else ["one_program", "split"]

    def _is_enough(self) -> bool:
        """Whether split steps gain so much that nothing else is tried."""
        loop, parts = self._seconds["loop"], self._seconds["split"]
        return loop >= _ALL_ARITHMETIC or parts <= _GAINS_ENOUGH * loop

    def _may_be_compiled(self, loop: Executor, forced: Kind | None) -> bool:
        if not self._batches.num_whole_batches:
            return False
        is_slow = forced != "split" and self._has_slow_kernels(loop)
        if is_slow and forced:
            say(
                "note: in one program XLA computes convolutions on a CPU many times "
                "slower than TensorFlow does; with execution=auto none is taken."
            )
        return forced is not None or not is_slow

    def _with_program(
        self, best: Executor, mode: Mode, force: bool
    ) -> tuple[Executor, Mode]:
        """A program, where it is faster than what was best before."""
        seconds = self._seconds["loop"]
        most = int(_PROGRAM_SPEEDUP * modes.EXECUTION_SECONDS / seconds)
        # A power of two, so that what is kept of the last time is one of as many steps.
        most = 2 ** int(math.log2(max(1, most)))
        steps = self._even(min(most, _MOST_BYTES // self._bytes_of_batch()))
        program = step_functions.trial_of(self._model, Mode("one_program", steps))
        self._time(program, 1)  # It is compiled.
        if program.kind != "one_program":
            return best, mode
        # A convolution can take a hundred times as long in a program.
        once = self._seconds["one program"] = self._time(program, 1)
        if force:
            if once * steps > _LONGEST_EXECUTION_SECONDS:
                steps = self._even(modes.most_steps(once))
            return program, Mode("one_program", steps)
        is_slow = once > 3 * seconds + 0.05
        against = "split" if mode.kind == "split" else "loop"
        if is_slow or not self._is_faster("one program", program, against, best, steps):
            return best, mode
        return program, Mode("one_program", steps)

    def _with_loop(
        self, kind: Kind, best: Executor, mode: Mode, force: bool
    ) -> tuple[Executor, Mode]:
        """A loop of steps that are split, or compiled, where it is faster."""
        parts = step_functions.trial_of(self._model, Mode(kind, 1))
        self._time(parts, 2)  # They are compiled.
        if parts.kind != kind:
            return best, mode
        once = self._seconds[kind] = self._time(parts, 2)
        against = "one program" if mode.kind == "one_program" else "loop"
        is_slow = once > 3 * self._seconds[against] + 0.05
        most = mode.steps or self._batches.steps_per_epoch
        if not force and (
            is_slow or not self._is_faster(kind, parts, against, best, most)
        ):
            return best, mode
        most = modes.most_steps(self._seconds[kind])
        return parts, Mode(kind, self._even(most), most=most)

    def _is_faster(
        self,
        name: str,
        run: Executor,
        against: str,
        other: Executor,
        most: int,
    ) -> bool:
        """Whether one is clearly faster than another, measured in turns."""
        count = min(self._steps_of(self._seconds[against]), most)
        times = [
            (self._time(other, count), self._time(run, count)) for _ in range(_ROUNDS)
        ]
        others, ours = (min(column) for column in zip(*times, strict=True))
        self._seconds |= {against: others, name: ours}
        return ours < _CLEARLY * others

    def _has_slow_kernels(self, run: Executor) -> bool:
        """Whether a single step in a program takes too long to be measured.

        In a loop of XLA's a convolution takes seconds on a CPU, and once begun it
        cannot be interrupted.
        """
        if tf.config.list_logical_devices("GPU"):
            return False
        traced = run.traced(iter(self._feed.get_tf_dataset()))
        return any(
            name.startswith(("Conv2D", "Conv3D", "DepthwiseConv"))
            for name in tensorflow_private.operations(traced)
        )

    def _even(self, most: int) -> int:
        return modes.even(most, self._batches.steps_per_epoch)

    def _steps_of(self, seconds: float) -> int:
        most = self._batches.num_whole_batches
        # Of one step there is another function, which would have to be traced too.
        return max(1, min(max(2, int(_WINDOW_SECONDS / seconds)), most))

    def _bytes_of_batch(self) -> int:
        specs = nests.flat(self._feed.batch_spec)
        rows = sum(s.dtype.size * (s.shape[1:].num_elements() or 1) for s in specs)
        return max(1, rows * self._batches.batch_size)

    def _time(self, run: Executor, steps: int) -> float:
        """Seconds of a step, of that many in one execution."""
        steps = min(steps, self._batches.steps_per_epoch)
        self._model.steps_per_execution = steps
        iterator = iter(self._feed.get_tf_dataset())
        if run.kind != "one_program":
            _ = iterator.iterator  # That it is made is not a step's time.
        began = time.perf_counter()
        logs = run(iterator)
        for value in logs.values():
            np.asarray(value)  # It is over when its result is there.
        seconds = (time.perf_counter() - began) / steps
        return agreed.seconds(self._strategy, seconds)

    def _can_be_undone(self, run: Executor) -> bool:
        """Whether a step changes nothing that `undone` does not give back."""
        self._model.steps_per_execution = 2
        traced = run.traced(iter(self._feed.get_tf_dataset()))
        parts = self._strategy.experimental_local_results
        variables = [v.value for v in state.variables(self._model)]
        # Ours, of several workers: of no training.
        variables += [stop_votes.variable(), *shared_memory.variables()]
        variables += private.variables_of(self._model)
        known = {id(part.handle) for v in variables for part in parts(v)}
        # Variables that are written alone are not among those of the function.
        own = tensorflow_private.captured_resources(traced)
        return all(id(handle) in known for handle in own) and all(
            op in _STATE_IN_VARIABLES or op.startswith(_STATE_IN_VARIABLES_BEGINS)
            for op in tensorflow_private.stateful_operations(
                traced, but_python=shared_memory.tokens()
            )
        )


@contextlib.contextmanager
def undone(model: keras.Model) -> Iterator[None]:
    """Gives back, at the end, all that a training changes."""
    generators = random.getstate(), np.random.get_state()
    steps = model.steps_per_execution
    before = state.capture(model)
    try:
        yield
    finally:
        state.put_back(model, before)
        model.steps_per_execution = steps
        random.setstate(generators[0])
        np.random.set_state(generators[1])
