"""Throughput of a training that has ended, said and written into its run folder."""

import time

import keras
import tensorflow as tf

from kerascale import run_files
from kerascale.callbacks import Timing
from kerascale.console import say
from kerascale.datasets import Batches, Datasets
from kerascale.engine import agreement, execution, replicas
from kerascale.run_folder import RunFolder
from kerascale.throughput import attempts, flops, peak, report
from kerascale.throughput.report import Throughput

_PROBLEM_LENGTH = 120


def timing(folder: RunFolder, datasets: Datasets) -> Timing:
    """The callback whose times are reported. The run's first step is noted, too.

    Args:
        folder: The run folder.
        datasets: The data.
    """
    began = time.time()
    path = folder.path / run_files.ATTEMPTS
    return Timing(
        datasets.steps_per_epoch,
        on_begin=lambda step: attempts.note_start(path, began, step),
    )


def note_stop(folder: RunFolder | None, timed: Timing | None) -> None:
    """Says that the run ended on request, or with its last step."""
    if folder is not None and timed is not None and timed.steps:
        attempts.note_stop(folder.path / run_files.ATTEMPTS, timed.step)


def report_on(
    model: keras.Model,
    datasets: Datasets,
    folder: RunFolder | None,
    timed: Timing | None,
) -> None:
    """Says what was reached. All workers call it; nothing is done if none trained.

    Args:
        model: Trained.
        datasets: The data.
        folder: The run folder; None on a worker that is not the chief.
        timed: What `timing` returned; None on such a worker.
    """
    strategy = model.distribute_strategy
    told = agreement.from_chief(
        strategy, lambda: "" if not timed.steps else str(int(timed.compiling_included))
    )
    if not told:
        return
    flops_per_step, problem = None, "too few steps were timed"
    if told == "0":
        flops_per_step, problem = _count(model, datasets)
    if folder is None:
        return
    reached = _make(model, datasets, folder, timed, flops_per_step, problem)
    if reached is not None:
        folder.write_json(run_files.THROUGHPUT, reached.to_dict())
        say(reached.text())


def _make(
    model: keras.Model,
    datasets: Datasets,
    folder: RunFolder,
    timed: Timing,
    flops_per_step: float | None,
    problem: str,
) -> Throughput | None:
    events = attempts.read(folder.path / run_files.ATTEMPTS)
    starts = [event for event in events if event["event"] == "start"]
    train = datasets.train
    x = tf.nest.flatten(_example_batch(train)[0])[0]
    return report.make(
        steps=timed.steps,
        seconds=timed.seconds,
        compiling_included=timed.compiling_included,
        examples_per_step=train.num_examples / train.steps_per_epoch,
        tokens_per_example=report.tokens_per_example(datasets.info.kind, x.shape),
        flops_per_step=flops_per_step,
        not_counted=problem,
        peak=None if flops_per_step is None else _peak(model),
        first_step=starts[0]["step"] if starts else 0,
        last_step=timed.step,
        wall_seconds=attempts.wall_seconds(events, time.time()),
        starts=len(starts),
    )


def _count(model: keras.Model, datasets: Datasets) -> tuple[float | None, str]:
    """Operations of a step over all replicas, or why they cannot be counted."""
    own, problem = -1, ""
    try:
        batch = _example_batch(datasets.train)
        run = model.train_function
        if model.run_eagerly or not isinstance(run, execution.Execution):
            problem = "steps are no graph"
        else:
            own = round(flops.count(run.traced_on(batch)))
    except Exception as error:  # A finished run does not fail for want of a number.
        lines = str(error).strip().splitlines()
        problem = lines[0][:_PROBLEM_LENGTH] if lines else type(error).__name__
    each = agreement.gather(model.distribute_strategy, [own])
    if (each < 0).any():
        return None, problem or "another worker could not"
    return float(each.sum()), ""


def _example_batch(source: object) -> tuple:
    """A batch of the training, or of its shape where reading would cost something."""
    if isinstance(source, Batches):
        zero = tf.constant(0, tf.int64)
        return source.batch(zero, zero)

    def zeros(spec: tf.TensorSpec) -> tf.Tensor:
        shape = [source.batch_size, *spec.shape[1:]]
        if None in shape:
            raise flops.UncountableError("batches differ in their shape")
        return tf.zeros(shape, spec.dtype)

    return tf.nest.map_structure(zeros, source.dataset().element_spec)


def _peak(model: keras.Model) -> float | None:
    """The peak of all devices that the model was trained on; None: not measured."""
    strategy = model.distribute_strategy
    if tf.config.list_logical_devices("TPU"):
        return None
    own = peak.of_this_machine(model.dtype_policy.compute_dtype)
    # The logical devices of a CPU share its cores; workers have their own.
    if tf.config.list_logical_devices("GPU"):
        return own * strategy.num_replicas_in_sync
    return own * replicas.num_workers(strategy)
