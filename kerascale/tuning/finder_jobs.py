"""What a worker does for the finders: a few steps, of which nothing is kept."""

import dataclasses
import resource
import time
from typing import Any

import keras
import tensorflow as tf

from kerascale import strategies
from kerascale.runtime import free_memory
from kerascale.training.build import make_datasets, make_model
from kerascale.training.seeding import seed
from kerascale.tuning import find_learning_rate
from kerascale.tuning.loaded import loaded

# Steps of a batch whose speed is measured, behind those that compile.
_MEASURED = 3


def learning_rate(job: dict[str, Any], channel: Any) -> dict[str, Any]:
    """Trains on batches with a growing rate.

    Args:
        job: With `recipe`, `fields` and `strategy`.
        channel: Not used.
    """
    del channel
    model, datasets = _built(job)
    losses: list[float] = []
    batches = find_learning_rate.batches(datasets.train)
    for rate in find_learning_rate.rates():
        model.optimizer.learning_rate = rate
        losses.append(_step(model, next(batches)))
        if find_learning_rate.is_over(losses):
            break
    return {"kind": "complete", "losses": losses}


def batch_size(job: dict[str, Any], channel: Any) -> dict[str, Any]:
    """Trains a few steps on batches of one size, and says what they needed.

    Args:
        job: With `recipe`, `fields` and `strategy`.
        channel: Not used.
    """
    del channel
    before = _used()
    model, datasets = _built(job)
    train = datasets.train
    batches = find_learning_rate.batches(train)
    batch = next(batches)
    _step(model, batch)
    began = time.monotonic()
    for _ in range(_MEASURED):
        _step(model, batch)
    seconds = (time.monotonic() - began) / _MEASURED
    size = int(tf.nest.flatten(batch)[0].shape[0])
    return {
        "kind": "complete",
        "examples": datasets.train.num_examples,
        "peak_bytes": max(0, _peak() - before),
        "examples_per_second": size / seconds,
    }


def _built(job: dict[str, Any]) -> tuple[keras.Model, Any]:
    recipe, config = loaded(job)
    names = {f.name for f in dataclasses.fields(config)}
    # One step a call, with a rate that can be set.
    plain = {
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "steps_per_execution": 1,
        "execution": "fixed",
    }
    config = dataclasses.replace(
        config, **{n: v for n, v in plain.items() if n in names}
    )
    strategy = strategies.get(job["strategy"])
    seed(config)
    datasets = make_datasets(recipe, config)
    seed(config)
    with strategy.scope():
        return make_model(recipe, config, datasets), datasets


def _step(model: keras.Model, batch: Any) -> float:
    x, y, *weight = batch
    # Else the loss would be the mean of all steps until now.
    model.reset_metrics()
    logs = model.train_on_batch(x, y, *weight, return_dict=True)
    return float(logs["loss"])


def _used() -> int:
    if _has_gpu():
        return _gpu("current")
    return free_memory.resident_bytes()


def _peak() -> int:
    if _has_gpu():
        return _gpu("peak")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def _gpu(name: str) -> int:
    return int(tf.config.experimental.get_memory_info("GPU:0")[name])


JOBS = {"learning-rate": learning_rate, "batch-size": batch_size}
