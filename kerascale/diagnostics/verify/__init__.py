"""Checks that a training gives one result on any hardware."""

import os
import pathlib
import pickle
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe
from kerascale.diagnostics.verify import injected_faults, inputs, run_jobs
from kerascale.diagnostics.verify.jobs import MARK, Job
from kerascale.diagnostics.verify.report import Report, Row
from kerascale.errors import RefusedError

__all__ = ["Report", "Row", "verify", "verify_recipe"]


def verify(
    make_model: Callable[[], Any],
    dataset: Any,
    *,
    batch_size: int | None = None,
    steps: int = 10,
    replicas: int = 2,
    workers: int = 0,
    precision: str = "float64",
    engine: bool = True,
    plant: str | None = None,
) -> Report:
    """Trains a model on one device and on several, and compares after every step.

    Each configuration runs in a process of its own, on logical devices of the CPU.
    Weights, loss and metrics are compared after every step, predictions after the
    last. One step has a number of examples that the replicas do not divide, and the
    last has one: that is where mistakes show.

    Call it under `if __name__ == "__main__":` if `make_model` is in the script that
    runs, because the processes import that.

    Args:
        make_model: A function at the top level of a module, or of the script that
            runs. It takes nothing and returns a compiled `keras.Model`.
        dataset: A `tf.data.Dataset` of global batches (x, y) or (x, y,
            sample_weight); or a tuple of such arrays. The first `steps` batches are
            read here; if there are fewer, they begin anew.
        batch_size: Rows of a global batch of arrays. Defaults to 32.
        steps: Steps to train.
        replicas: Logical devices that are compared with one.
        workers: Processes, which train together and are compared with one device,
            too; 0: none.
        precision: `float64`: the limit is 1e-10, and rounding is far below: what
            differs is wrong logic. `float32`: what training computes; the limit is
            1e-5, and 1e-6 up to 5 steps, but Adam and its kin may enlarge rounding
            beyond it.
        engine: Whether the model is put under `kerascale.scale`. Without it, plain
            Keras is verified.
        plant: A fault that the engine is given on several replicas:
            `clip-before-reduce`, `mean-of-means` or `same-mask`; None: none.

    Returns:
        A report, which is true if all are the same. `report.text()` is for people.

    Raises:
        RefusedError: If an argument is bad, or the model cannot be verified.

    Example:

    ```python
    if __name__ == "__main__":
        report = ks.verify(make_model, (x, y), batch_size=64)
        print(report.text())
    ```
    """
    if os.environ.get(MARK):
        raise RefusedError(
            "verify: expected not to be called while a module with make_model is "
            "imported. Received: a call at its top level. Put it under "
            '`if __name__ == "__main__":`.'
        )
    run_jobs.refuse_options(
        steps=steps,
        replicas=replicas,
        workers=workers,
        precision=precision,
        engine=engine,
        plant=plant,
    )
    function, script = inputs.locate(make_model)
    batches = inputs.read_batches(dataset, steps, batch_size)
    with tempfile.TemporaryDirectory(prefix="kerascale-verify-") as folder:
        path = pathlib.Path(folder) / "batches.pickle"
        path.write_bytes(pickle.dumps(batches))
        job = Job(
            steps=steps,
            replica_counts=_counts(replicas, workers),
            precision=precision,
            engine=engine,
            plant=plant,
            sys_path=tuple(sys.path),
            function=function,
            script=script,
            batches=str(path),
        )
        return run_jobs.run(
            job,
            function[1] if engine else f"{function[1]}, plain Keras",
            replicas=replicas,
            workers=workers,
            notes=_plant_notes(plant),
        )


def verify_recipe(
    recipe: Recipe,
    config: Any,
    *,
    steps: int = 10,
    replicas: int = 2,
    workers: int = 0,
    precision: str = "float64",
    engine: bool = True,
    plant: str | None = None,
) -> Report:
    """Like `verify`, for a recipe and the first batches of its training data.

    Args:
        recipe: The recipe.
        config: Its configuration.
        steps: See `verify`, as for all that follow.
        replicas: Logical devices.
        workers: Processes.
        precision: `float64` or `float32`.
        engine: False is for recipes that return plain Keras models.
        plant: A fault. Fields of the recipe that it needs are set, for all
            configurations, which the report says.

    Raises:
        RefusedError: If an argument is bad, or the recipe cannot be verified.
    """
    run_jobs.refuse_options(
        steps=steps,
        replicas=replicas,
        workers=workers,
        precision=precision,
        engine=engine,
        plant=plant,
    )
    notes = []
    if plant is not None:
        config, done = injected_faults.prepare(plant, config)
        notes = _plant_notes(plant, done)
    job = Job(
        steps=steps,
        replica_counts=_counts(replicas, workers),
        precision=precision,
        engine=engine,
        plant=plant,
        sys_path=tuple(sys.path),
        recipe=recipe.source,
        fields=to_dict(config),
    )
    return run_jobs.run(
        job,
        recipe.name if engine else f"{recipe.name}, plain Keras",
        replicas=replicas,
        workers=workers,
        notes=notes,
    )


def _counts(replicas: int, workers: int) -> tuple[int, ...]:
    return (replicas, workers) if workers else (replicas,)


def _plant_notes(plant: str | None, done: str = "") -> list[str]:
    if plant is None:
        return []
    text = f"planted on several replicas: {plant}: {injected_faults.PLANTS[plant]}"
    return [f"{text}; it {done}" if done else text]
