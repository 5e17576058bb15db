"""Breaks the engine of this process on purpose, in ways that plain Keras is broken."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step import step
from kerascale.errors import RefusedError
from kerascale.layers import Dropout


def plant(name: str) -> None:
    """Replaces a part of the engine, until this process ends.

    Args:
        name: One of `kerascale.diagnostics.verify.injected_faults.PLANTS`.
    """
    _MAKERS[name]()


def refuse_without_effect(name: str, model: keras.Model) -> None:
    """Refuses a fault that would change nothing in this model.

    Raises:
        RefusedError: If the model lacks what the fault breaks.
    """
    if name == "clip-before-reduce" and not _clips(model.optimizer):
        raise RefusedError(
            "plant clip-before-reduce: expected a model whose optimizer clips "
            "gradients. Received: one that does not. Compile it with "
            "global_clipnorm=0.01, or choose another fault."
        )
    drops = any(
        isinstance(layer, Dropout) and layer.rate
        for layer in keras_private.all_layers(model)
    )
    if name == "same-mask" and not drops:
        raise RefusedError(
            "plant same-mask: expected a model with kerascale.layers.Dropout. "
            "Received: one that drops nothing. Add such a layer, or choose another "
            "fault."
        )


def refuse_unused(name: str) -> None:
    """Refuses to say that a fault goes unnoticed which never came to work.

    Raises:
        RuntimeError: If no step has used what the fault replaced.
    """
    if not _used:
        raise RuntimeError(
            f"plant {name}: expected the engine to use what it replaces. Received: "
            "steps that did not. This is a mistake of "
            "kerascale.diagnostics.verify.inject."
        )


# What the broken parts note when they are called.
_used: list[str] = []


def _clip_before_reduce() -> None:
    compute = step.TrainStep._compute

    def broken(self: Any, item: Any) -> tuple[list[Any], Any]:
        _used.append("clip-before-reduce")
        gradients, logs = compute(self, item)
        return _clipped(gradients, keras_private.innermost(self.optimizer)), logs

    step.TrainStep._compute = broken


def _clipped(gradients: list[Any], optimizer: Any) -> list[Any]:
    if optimizer.global_clipnorm:
        return tf.clip_by_global_norm(gradients, optimizer.global_clipnorm)[0]
    if optimizer.clipnorm:
        return [tf.clip_by_norm(g, optimizer.clipnorm) for g in gradients]
    limit = optimizer.clipvalue
    return [tf.clip_by_value(g, -limit, limit) for g in gradients]


def _clips(optimizer: keras.optimizers.Optimizer) -> bool:
    inner = keras_private.innermost(optimizer)
    return bool(inner.clipnorm or inner.global_clipnorm or inner.clipvalue)


def _mean_of_means() -> None:
    def broken(here: shard.Shard) -> shard.Shard:
        # As if all slices were as large as this one.
        size = tf.maximum(here.count, 1) * here.replicas
        return dataclasses.replace(here, size=size)

    _replace_shard(broken)


def _same_mask() -> None:
    def broken(here: shard.Shard) -> shard.Shard:
        return dataclasses.replace(here, offset=tf.zeros_like(here.offset))

    _replace_shard(broken)


def _replace_shard(broken: Callable[[shard.Shard], shard.Shard]) -> None:
    right = shard.of

    def of(*args: Any, **kwargs: Any) -> shard.Shard | None:
        _used.append("place")
        here = right(*args, **kwargs)
        return None if here is None else broken(here)

    shard.of = of


_MAKERS: dict[str, Callable[[], None]] = {
    "clip-before-reduce": _clip_before_reduce,
    "mean-of-means": _mean_of_means,
    "same-mask": _same_mask,
}
