"""One workload, trained in this process as a user would train it."""

import contextlib
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import kerascale as ks
from kerascale.config import Execution
from kerascale.diagnostics.bench.workloads import Workload
from kerascale.engine.execution import autotune, step_functions
from kerascale.runtime.console import counted
from kerascale.training.throughput import model_peak

# More than are ever made: `fit` is stopped when enough was measured. It chooses how
# it executes steps as for a training that goes on for long.
_EPOCHS = 100_000


def measure(
    workload: Workload,
    tell: Callable[[str, Any], None],
    *,
    seconds: float,
    wish: Execution,
    started: float,
    strategy: str | None = None,
    mesh: str | None = None,
) -> None:
    """Trains a workload, and passes on what was measured.

    Args:
        workload: What is trained.
        tell: Given the name and the value of each result.
        seconds: How long it is measured, at least; whole epochs are.
        wish: How steps are executed.
        started: When this process was started, by `time.monotonic`.
        strategy: As `strategies.get` takes it, in a process for a mesh; None: one
            device.
        mesh: Of that strategy.
    """
    if wish != "auto":  # The variable would win.
        os.environ.pop(autotune.VARIABLE, None)
    keras.utils.set_random_seed(0)
    x, y = workload.make_data(np.random.default_rng(0), workload.num_examples)
    scope = contextlib.nullcontext()
    if strategy is not None:
        scope = ks.strategies.get(strategy, mesh=mesh).scope()
    with scope:
        model = ks.scale(workload.make_model(ks, keras), execution=wish)
        model.compile(workload.make_optimizer(keras), workload.make_loss(keras))
    tell("parameters", model.count_params())
    first = workload.first_steps * workload.batch_size
    model.fit(x[:first], y[:first], batch_size=workload.batch_size, verbose=0)
    tell("first_seconds", time.monotonic() - started)
    watch = Stopwatch(seconds)
    model.fit(
        x,
        y,
        batch_size=workload.batch_size,
        epochs=_EPOCHS,
        verbose=0,
        callbacks=[watch],
    )
    if not math.isfinite(watch.loss):
        raise RuntimeError(f"loss: expected a finite number. Received: {watch.loss}.")
    tell("loss", watch.loss)
    tell("peak_memory_bytes", _peak_memory())
    tell("execution", _execution(model))
    tell("epochs", len(watch.seconds))
    step_seconds = statistics.median(watch.seconds) / workload.steps_per_epoch
    flops = workload.flops_per_step / step_seconds
    tell("step_seconds", step_seconds)
    tell("items_per_second", workload.items_per_step / step_seconds)
    tell("flops_per_second", flops)
    most, devices = model_peak.of_model(model, flops)
    tell("peak_flops_per_second", most)
    tell("share_of_peak", flops / most)
    tell("peak_of", devices)


def _execution(model: keras.Model) -> dict[str, Any]:
    """How its steps are executed."""
    if keras.config.backend() == "jax":
        steps = model.train_function.steps_per_call
        said = f"one program of {counted(steps, 'step')}"
        return {"kind": "one_program", "steps": steps, "said": said}
    mode = step_functions.mode_of(model)
    return {"kind": mode.kind, "steps": mode.steps, "said": str(mode)}


class Stopwatch(keras.callbacks.Callback):
    """Times whole epochs, from the end of one to that of the next, and ends `fit`.

    The first one is a warm-up: before it a mode of execution is chosen, and in it
    functions are traced.

    Args:
        seconds: How long it measures, at least.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.loss = math.nan
        self._wanted = seconds
        self._before: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.loss = float(logs["loss"])  # The epoch is over when it is there.
        now = time.perf_counter()
        if self._before is not None:
            self.seconds.append(now - self._before)
        self._before = now
        if sum(self.seconds) >= self._wanted:
            self.model.stop_training = True


def _peak_memory() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
