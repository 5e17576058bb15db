"""`estimate` for a mesh: the program of a step is compiled, and XLA says what it takes.

It is imported where Keras' backend is JAX.
"""

from typing import Any

import jax
import keras
import numpy as np
import tensorflow as tf

from kerascale import strategies
from kerascale.config.recipes import Recipe
from kerascale.diagnostics.estimate import amounts
from kerascale.diagnostics.estimate.mesh_result import MeshEstimate
from kerascale.engine.mesh import flops, prepare
from kerascale.engine.mesh import memory as step_memory
from kerascale.engine.mesh import steps as mesh_steps
from kerascale.engine.mesh.described import of_model
from kerascale.errors import RefusedError
from kerascale.runtime import free_memory
from kerascale.strategies.mesh import DATA
from kerascale.strategies.model_parallel import Remat
from kerascale.training import preconditions
from kerascale.training.build import cut_over_mesh, make_datasets, make_model
from kerascale.training.seeding import seed

# Batches of a call: those that are trained on, and the next ones.
_CALLS_OF_BATCHES = 2


def estimate(
    recipe: Recipe,
    config: Any,
    strategy: str,
    mesh: Any,
    remat: Remat,
    memory: str | int | None,
) -> MeshEstimate:
    """What each device of a mesh needs to train a recipe, without training it.

    Args:
        recipe: A recipe.
        config: Its configuration.
        strategy: `model_parallel` or `fsdp`.
        mesh: As `strategies.get` takes it.
        remat: As `strategies.get` takes it.
        memory: What a device has: bytes, or `24GiB`. None: what the accelerator says;
            the devices of a CPU share what is free.

    Raises:
        RefusedError: If an argument or the configuration is wrong, the model cannot
            be cut so, or batches differ in their shape.
    """
    placed = strategies.get(strategy, mesh=mesh, remat=remat)
    preconditions.refuse_on_a_mesh(config, placed)
    seed(config)
    datasets = make_datasets(recipe, config)
    batch = datasets.train.example_batch()
    if batch is None:
        raise RefusedError(
            "estimate: expected batches of one shape. Received: batches that differ "
            "in their shape. Give every example the same shape."
        )
    batch = tf.nest.map_structure(np.asarray, batch)
    with placed.scope():
        model = make_model(recipe, config, datasets)
    cut_over_mesh(model, placed, datasets)
    told = getattr(config, "steps_per_execution", 1)
    every = min(told if told > 1 else mesh_steps.chosen(None), datasets.steps_per_epoch)
    found = step_memory.of_step(model, batch, every)
    operations = _operations(model, batch, every)
    weights = of_model(model)
    on_cpu = jax.devices()[0].platform == "cpu"
    parts = placed.mesh.of(DATA)
    batch_size = datasets.train.batch_size or len(tf.nest.flatten(batch)[0])
    optimizer = step_memory.held_bytes(model.optimizer.variables)
    gradients = step_memory.held_bytes(model.trainable_variables)
    own, whole = step_memory.held_bytes(weights), _whole(weights)
    metrics = step_memory.held_bytes(model.metrics_variables)
    held = own + optimizer + metrics + found.batch
    # Where the next use of a gradient is its update, few are there at once.
    gradients = max(0, min(gradients, found.program - held))
    return MeshEstimate(
        recipe=recipe.name,
        strategy=placed.name,
        mesh=dict(placed.mesh.axes),
        remat=placed.remat,
        batch_size=batch_size,
        rows=-(-batch_size // parts),
        parameters=model.count_params(),
        weights_bytes=own,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        metrics_bytes=metrics,
        batch_bytes=_CALLS_OF_BATCHES * found.batch,
        activations_bytes=max(0, found.program - held - gradients),
        runtime_bytes=found.runtime,
        steps_per_call=every,
        weights_of_one_bytes=whole,
        optimizer_of_one_bytes=_whole(model.optimizer.variables),
        process_bytes=free_memory.resident_bytes() if on_cpu else 0,
        memory_bytes=_has(memory, on_cpu),
        shares_memory=on_cpu and memory is None,
        device=jax.devices()[0].platform,
        **operations,
    )


def _operations(model: keras.Model, batch: Any, steps: int) -> dict[str, float | None]:
    """Of a step: the model's, and with what is computed again; None: not known."""
    run = prepare.prepare(model, batch).train
    rows = run.abstract_rows(batch, steps)
    try:
        own, computed = run.flops_per_step(rows), run.computed_flops_per_step(rows)
    except flops.UncountableError:
        own = computed = None
    return {"flops_per_step": own, "computed_flops_per_step": computed}


def _has(memory: str | int | None, on_cpu: bool) -> int:
    """Bytes of a device; of all of them together, where they share what is free."""
    if memory is not None:
        return amounts.parse(memory)
    if on_cpu:
        return free_memory.available_bytes() + free_memory.resident_bytes()
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        raise RefusedError(
            "memory: expected what a device has, such as 24GiB, for this one does not "
            "tell. Received: none."
        )
    return limit


def _whole(variables: Any) -> int:
    return sum(
        int(np.prod(v.shape)) * np.dtype(v.value.dtype).itemsize for v in variables
    )
