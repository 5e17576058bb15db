"""The training of one configuration, in a process of its own."""

import pathlib
import sys
import sysconfig
import traceback

import keras
import numpy as np
import tensorflow as tf

import kerascale
from kerascale import strategies
from kerascale.diagnostics.verify import inject, model_and_data, zero_gradients
from kerascale.diagnostics.verify.jobs import Job
from kerascale.diagnostics.verify.model_and_data import Subject
from kerascale.diagnostics.verify.records import Record, Status
from kerascale.diagnostics.verify.step_recorder import Recorder
from kerascale.engine.compat import keras_private
from kerascale.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, RefusedError

_FIRST_LINES = 5
# What is in none of these is the user's own code, and worth naming.
_NOT_THE_USERS = (
    *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")),
    str(pathlib.Path(kerascale.__file__).parent),
    "<",
)


def run(job_path: str, folder: str, strategy_name: str) -> int:
    """Trains what a job says and records it.

    Args:
        job_path: The job's file.
        folder: Where the record of this process goes.
        strategy_name: As `kerascale.strategies.get` takes it.

    Returns:
        The exit code of the process.
    """
    record = Record(pathlib.Path(folder))
    try:
        status = _train(Job.read(job_path), record, strategy_name)
        code = EXIT_DONE
    except RefusedError as error:
        status, code = Status("refused", str(error)), EXIT_REFUSED
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        status, code = Status("failed", _first_lines(error)), EXIT_FAILED
    record.write_status(status)
    return code


def _train(job: Job, record: Record, strategy_name: str) -> Status:
    # Before anything of the user's: it decides the devices.
    strategy = strategies.get(strategy_name)
    # Layers take the policy, all else takes floatx.
    keras.config.set_floatx(job.precision)
    keras.config.set_dtype_policy(job.precision)
    distributed = strategy.num_replicas_in_sync > 1
    if job.plant is not None and distributed:
        inject.plant(job.plant)
    make = (
        model_and_data.from_recipe
        if job.recipe is not None
        else model_and_data.from_function
    )
    subject = make(job, strategy)
    if job.plant is not None:
        inject.refuse_without_effect(job.plant, subject.model)
    if job.nudge:
        _nudge(subject.model)
    subject.model.fit(
        subject.data,
        epochs=1,
        verbose=0,
        callbacks=[Recorder(record, job.steps, strategy)],
    )
    if job.plant is not None and distributed:
        inject.refuse_unused(job.plant)
    record.write_predictions(_predictions(subject))
    variables = tuple(v.path for v in subject.model.weights)
    has_normalization = any(
        isinstance(layer, keras.layers.BatchNormalization)
        for layer in keras_private.all_layers(subject.model)
    )
    if not distributed:
        record.write_gradients(_gradients(subject, has_normalization))
    return Status(
        "done",
        variables=variables,
        batch_sizes=tuple(subject.batch_sizes),
        has_batch_normalization=has_normalization,
        notes=tuple(_notes(subject.model, job.precision)),
    )


def _nudge(model: keras.Model) -> None:
    """Changes each weight in its last digit: what training makes of it is rounding."""
    random = np.random.default_rng(0)
    for variable in model.trainable_weights:
        value = variable.numpy()
        if value.dtype in (np.float32, np.float64):
            sign = random.choice([-1.0, 1.0], value.shape)
            digit = np.finfo(value.dtype).eps * sign
            variable.assign(value * (1 + digit.astype(value.dtype)))


def _predictions(subject: Subject) -> dict[str, np.ndarray]:
    x = subject.first_batch[0]
    rows = len(tf.nest.flatten(x)[0])
    outputs = subject.model.predict(x, batch_size=rows, verbose=0)
    return {str(i): v for i, v in enumerate(keras.tree.flatten(outputs))}


def _gradients(subject: Subject, has_normalization: bool) -> dict[str, np.ndarray]:
    """The gradients of variables that have a rule, and the largest of all."""
    model = subject.model
    x, y, weights = keras.utils.unpack_x_y_sample_weight(subject.first_batch)
    try:
        with tf.GradientTape() as tape:
            outputs = keras_private.call(model, x, training=True)
            loss = keras_private.compute_loss(
                model, x, y, outputs, weights, training=True
            )
        gradients = tape.gradient(loss, model.trainable_weights)
    except Exception:
        # A train step of the user's own may need no such loss; nothing is left out.
        traceback.print_exc()
        return {}
    found = {"largest": np.zeros(())}
    places = {id(v): i for i, v in enumerate(model.weights)}
    for variable, gradient in zip(model.trainable_weights, gradients, strict=True):
        if gradient is None:
            continue
        value = tf.convert_to_tensor(gradient).numpy()
        largest = np.max(np.abs(value), initial=0.0)
        found["largest"] = np.maximum(found["largest"], largest)
        if zero_gradients.rule_of(variable.path, has_normalization):
            found[str(places[id(variable)])] = value
    return found


def _notes(model: keras.Model, precision: str) -> list[str]:
    notes = []
    if model.steps_per_execution > 1:
        notes.append(
            f"steps_per_execution={model.steps_per_execution}: compared after each "
            "execution, not after each step"
        )
    coarse = [
        v.path
        for v in model.trainable_weights
        if precision == "float64" and v.dtype != "float64"
    ]
    if coarse:
        notes.append(
            f"weights that are not float64: {len(coarse)} ({coarse[0]}, ...), because "
            "the model sets its own dtype: rounding there is above the limit"
        )
    return notes


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    first, *rest = lines or [""]
    text = [f"{type(error).__name__}: {first}", *rest][:_FIRST_LINES]
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)]
    if own:
        text.append(f"({own[-1].filename}, line {own[-1].lineno})")
    return "\n".join(text)
