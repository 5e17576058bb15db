"""Throughput of a training that has ended, said and written into its run folder."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.callbacks import Timing
from kerascale.datasets import Datasets
from kerascale.datasets.source import Source
from kerascale.engine.collectives import consensus
from kerascale.engine.execution.executor import Executor
from kerascale.runs import layout, timeline
from kerascale.runs.folder import RunFolder
from kerascale.runtime.console import say
from kerascale.training.context import RunContext
from kerascale.training.throughput import (
    figures,
    flops,
    goodput,
    model_peak,
    stages,
)
from kerascale.training.throughput.figures import Throughput

_PROBLEM_LENGTH = 120

# From then on it costs little to trace a step once more: up to 3 seconds.
_ENOUGH_SECONDS = 60.0
# From then on it is asked which stage is to blame.
_MUCH_WAITING = 0.05
# Seconds of steps, of which a share is worth that.
_LEAST_WAITING = 1.0
# How long a training was.
_NONE, _TOO_SHORT, _SHORT, _LONG = "none", "too short", "short", "long"


def report_on(
    model: keras.Model,
    context: RunContext,
    timed: Timing | None = None,
    record: goodput.Record | None = None,
) -> None:
    """Says what was reached. All workers call it; nothing is done if none trained.

    Args:
        model: Trained.
        context: Of the training.
        timed: The callback that timed it; None on a worker that is not the chief.
        record: Of where the time went; None on a worker that is not the chief.
    """
    datasets, folder = context.datasets, context.folder
    strategy = model.distribute_strategy
    if record is not None and timed is not None and not timed.steps:
        record.write(finished=True)
    length = consensus.from_chief(strategy, lambda: _length(timed))
    if length == _NONE:
        return
    flops_per_step, problem = None, "too few steps were timed"
    if length != _TOO_SHORT:
        flops_per_step, problem = _count(model, datasets, may_trace=length == _LONG)
    if folder is None:
        return
    reached = _make(model, datasets, folder, timed, flops_per_step, problem)
    if record is not None:
        starts = record.write(finished=True)
        if reached is not None:
            reached = dataclasses.replace(
                reached, parts=goodput.parts(starts), elapsed=goodput.elapsed(starts)
            )
    if reached is not None:
        folder.write_json(layout.THROUGHPUT, reached.to_dict())
        say(reached.text())


def _make(
    model: keras.Model,
    datasets: Datasets,
    folder: RunFolder,
    timed: Timing,
    flops_per_step: float | None,
    problem: str,
) -> Throughput | None:
    events = timeline.read(folder.path)
    starts = timeline.starts(events)
    train = datasets.train
    x = tf.nest.flatten(train.dataset().element_spec)[0]
    waited = timed.waited_seconds
    share = waited / max(timed.seconds, _LEAST_WAITING)
    most, of_what = None, ""
    if flops_per_step is not None and timed.steps:
        reached = flops_per_step * timed.steps / max(timed.seconds, 1e-9)
        most, of_what = model_peak.of_model(model, reached)
    return figures.make(
        waited_seconds=waited,
        waited_for=stages.slowest(train) if share >= _MUCH_WAITING else None,
        order=order_of(train),
        steps=timed.steps,
        seconds=timed.seconds,
        compiling_included=timed.compiling_included,
        examples_per_step=train.num_examples / train.steps_per_epoch,
        tokens_per_example=figures.tokens_per_example(datasets.info.kind, x.shape),
        flops_per_step=flops_per_step,
        not_counted=problem,
        peak=most,
        peak_of=of_what,
        first_step=starts[0].get("step", 0) if starts else 0,
        last_step=timed.step,
        wall_seconds=timeline.wall_seconds(events, time.time()),
        starts=len(starts),
    )


def order_of(source: Source) -> str | None:
    """How a source is shuffled; None of a user's own pipeline."""
    if not source.is_indexed:
        return None
    return source.order if source.shuffle else "none"


def _length(timed: Timing) -> str:
    """How long the training was, for what it may cost to say more about it."""
    if not timed.steps:
        return _NONE
    if timed.compiling_included:
        return _TOO_SHORT
    return _LONG if timed.seconds >= _ENOUGH_SECONDS else _SHORT


def _count(
    model: keras.Model, datasets: Datasets, *, may_trace: bool
) -> tuple[float | None, str]:
    """Operations of a step over all replicas, or why they are not counted.

    They are counted in the graph of the steps that were trained. Where batches differ
    in their size it has no shapes, and a step is traced once more, which takes as long
    as hundreds of small steps.
    """
    run = model.train_function
    on_mesh = getattr(run, "flops_per_step", None)
    if on_mesh is not None:  # Each process sees the step of all devices.
        if run.step.recomputes and not may_trace:
            return None, _not_worth(
                "the operations of a step without what it computes again are"
            )
        return _tried(on_mesh)
    if model.run_eagerly or not isinstance(run, Executor):
        return None, "steps are no graph"  # On all workers alike.
    strategy = model.distribute_strategy
    total, problem = _sum(strategy, lambda: flops.count_graph(run.step_graph))
    if total is None and not may_trace:
        return None, _not_worth("the shapes in a step are")
    if total is None:
        total, problem = _sum(
            strategy,
            lambda: flops.count(run.traced_on(_example_batch(datasets.train))),
        )
    return total, problem


def _not_worth(what: str) -> str:
    return (
        f"{what} known only if it is traced once more, and steps "
        f"of less than {_ENOUGH_SECONDS:.0f} s in all are not worth that"
    )


def _tried(count: Callable[[], float]) -> tuple[float | None, str]:
    """What is counted, or why it cannot be."""
    try:
        return float(round(count())), ""
    except Exception as error:  # A finished run does not fail for want of a number.
        lines = str(error).strip().splitlines()
        problem = lines[0][:_PROBLEM_LENGTH] if lines else type(error).__name__
        return None, problem


def _sum(
    strategy: tf.distribute.Strategy, count: Callable[[], float]
) -> tuple[float | None, str]:
    """What all workers have counted together, or why one of them could not."""
    own, problem = _tried(count)
    each = consensus.gather(strategy, [-1 if own is None else int(own)])
    if (each < 0).any():
        return None, problem or "another worker could not"
    return float(each.sum()), ""


def _example_batch(source: Source) -> Any:
    batch = source.example_batch()
    if batch is None:
        raise flops.UncountableError("batches differ in their shape")
    return batch
