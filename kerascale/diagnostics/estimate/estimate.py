"""`estimate`: builds a recipe's model and runs single steps, without training."""

import dataclasses
import importlib
import types
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kerascale import strategies
from kerascale.config import CheckpointPolicy
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.diagnostics.estimate import amounts, begun, measure
from kerascale.diagnostics.estimate.mesh_result import MeshEstimate
from kerascale.diagnostics.estimate.result import Estimate
from kerascale.engine import state
from kerascale.engine.execution import step_functions
from kerascale.engine.execution.modes import Mode
from kerascale.errors import RefusedError
from kerascale.runtime import free_memory
from kerascale.strategies.model_parallel import Remat
from kerascale.training import preconditions
from kerascale.training.build import make_datasets, make_model
from kerascale.training.seeding import seed

# Of the state, on the host: the checkpoint, and the best and the last weights, with the
# optimizer, as they are written.
_COPIES = 3
# It needs JAX.
_ON_A_MESH = "kerascale.diagnostics.estimate.on_mesh"


def estimate(
    recipe: str | Recipe | types.ModuleType,
    config: Any = None,
    *,
    workers: int = 1,
    memory: str | int | None = None,
    checkpoints: CheckpointPolicy | None = None,
    strategy: str | None = None,
    mesh: str | Mapping[str, int] | None = None,
    remat: Remat = "none",
) -> Estimate | MeshEstimate:
    """What each worker needs to train a recipe, without training it.

    Weights, optimizer and batch are counted; what a step needs beside them is measured
    by TensorFlow's allocator in single steps that run in a loop, on this device. Of one
    worker on a CPU, if it fits so far, a process of its own begins the training: see
    `begun`. For a mesh the program of a step is compiled, and XLA says what it takes.
    Nothing is left behind.

    Args:
        recipe: A recipe, or what `load_recipe` takes.
        config: The recipe's `Config`; None: its defaults.
        workers: Devices that share a batch: each has all weights, and its rows.
        memory: What a worker, or a device of the mesh, has: bytes, or `24GiB`. None:
            what this machine has free.
        checkpoints: How many checkpoints are kept; None: `CheckpointPolicy()`.
        strategy: `model_parallel` or `fsdp`, on Keras' JAX backend; None: each worker
            has the whole model.
        mesh: Of that strategy, as `strategies.get` takes it.
        remat: Of that strategy: what a step computes again.

    Returns:
        The estimate, for a mesh that of a device; false if it does not fit.

    Raises:
        RefusedError: If an argument or the configuration is wrong, the weights do not
            fit on this machine, or batches differ in their shape.

    Example:

    ```python
    recipe = ks.load_recipe("cnn")
    print(ks.estimate(recipe, recipe.Config(batch_size=512), memory="8GiB").text())
    ```
    """
    recipe = load_recipe(recipe)
    config = recipe.Config() if config is None else config
    preconditions.refuse_other_config(recipe, config)
    preconditions.refuse_other_backends(strategy or "one_device")
    if strategy is not None:
        on_mesh = importlib.import_module(_ON_A_MESH)
        return on_mesh.estimate(recipe, config, strategy, mesh, remat, memory)
    _refuse(workers, memory, remat)
    has = None if memory is None else amounts.parse(memory)
    if has is None:
        has = free_memory.available_bytes() + free_memory.resident_bytes()
    strategies.get("one_device")
    tf.config.experimental.enable_op_determinism()
    measure.refuse_without_statistics()
    seed(config)
    datasets = make_datasets(recipe, config)
    train = datasets.train
    batch = train.example_batch()
    if batch is None:
        raise RefusedError(
            "estimate: expected batches of one shape. Received: batches that differ "
            "in their shape. Give every example the same shape."
        )
    model = make_model(recipe, config, datasets)
    step_functions.set_mode(model, Mode("loop", 1))
    batch_size = train.batch_size or tf.nest.flatten(batch)[0].shape[0]
    rows = -(-batch_size // workers)
    on_cpu = measure.device().startswith("CPU")
    process = max(0, free_memory.resident_bytes() - measure.in_use()) if on_cpu else 0
    measured, spread, measured_rows = measure.step_bytes(model, batch, rows)
    arrays = state.capture(model, metrics=False)
    checkpoint = _bytes(arrays.values())
    weights = _bytes(model.weights)
    optimizer = _bytes(model.optimizer.variables)
    gradients = _bytes(model.trainable_variables)
    others = {id(v): v for v in (*model.variables, *model.metrics_variables)}
    for weight in model.weights:
        others.pop(id(weight), None)
    per_example = _bytes(tf.nest.flatten(batch)) / tf.nest.flatten(batch)[0].shape[0]
    policy = checkpoints or CheckpointPolicy()
    found = Estimate(
        recipe=recipe.name,
        workers=workers,
        batch_size=batch_size,
        rows=rows,
        parameters=model.count_params(),
        trainable_parameters=sum(
            v.value.shape.num_elements() for v in model.trainable_variables
        ),
        weights_bytes=weights,
        optimizer_bytes=optimizer,
        state_bytes=_bytes(others.values()),
        gradients_bytes=gradients,
        sum_bytes=gradients if workers > 1 else 0,
        batch_bytes=round(per_example * rows),
        activations_bytes=max(0, measured - gradients),
        activations_spread_bytes=spread,
        measured_rows=measured_rows,
        process_bytes=process,
        saved_copy_bytes=_COPIES * checkpoint if on_cpu else 0,
        memory_bytes=has,
        checkpoint_bytes=checkpoint,
        export_bytes=weights,
        run_folder_bytes=(
            policy.keep_checkpoints * checkpoint + 3 * (weights + optimizer)
        ),
        steps_per_epoch=datasets.steps_per_epoch,
        examples_per_epoch=train.num_examples,
        device="cpu" if on_cpu else "gpu",
    )
    # A process that trains alone tells nothing of one among several.
    if not found or not on_cpu or workers > 1:
        return found
    held = begun.peak(recipe, config, has)
    return dataclasses.replace(
        found, begun_bytes=held.bytes, begun_problem=held.problem
    )


def _refuse(workers: Any, memory: Any, remat: Any) -> None:
    problems = []
    if remat != "none":
        problems.append(
            "remat: expected with the strategy model_parallel or fsdp. Received: "
            f"{remat!r} without it."
        )
    if type(workers) is not int or workers < 1:
        problems.append(f"workers: expected an integer >= 1. Received: {workers!r}.")
    try:
        if memory is not None:
            amounts.parse(memory)
    except RefusedError as error:
        problems += error.problems
    if memory is None and tf.config.list_physical_devices("GPU"):
        problems.append(
            "memory: expected the memory of a GPU, such as 24GiB, because one is here. "
            "Received: none. nvidia-smi shows it."
        )
    if problems:
        raise RefusedError(problems, heading="estimate")


def _bytes(values: Iterable[Any]) -> int:
    return sum(
        tf.TensorShape(v.shape).num_elements() * tf.as_dtype(_dtype(v)).size
        for v in values
    )


def _dtype(value: Any) -> Any:
    return keras.backend.standardize_dtype(value.dtype)
