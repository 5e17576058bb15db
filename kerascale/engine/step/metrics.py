"""Metrics of all replicas, read in one packed reduction."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import (
    all_reduce,
    replicas,
    shared_memory,
    stop_votes,
)
from kerascale.engine.step import step_loss


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """The variables of a model's metrics, each once."""
    return list(
        {id(v): v for metric in model.metrics for v in metric.variables}.values()
    )


def reset(model: keras.Model) -> None:
    """Sets all metrics back, and asks no other worker.

    Keras assigns to their variables; TensorFlow reads the sum over all replicas then,
    which nobody looks at: 4 ms for each variable where there are several workers.
    """
    for metric in _one_by_one(model.metrics):
        if not _begins_with_zeros(metric):
            metric.reset_state()
            continue
        for variable in metric.variables:
            zeros = tf.zeros(variable.shape, variable.value.dtype)
            variable.value.assign(zeros, read_value=False)


def _one_by_one(metrics: Iterable[keras.metrics.Metric]) -> Iterator[Any]:
    for metric in metrics:
        parts = getattr(metric, "metrics", None)
        if _is_known(metric) and isinstance(parts, list):
            yield from _one_by_one(parts)  # What `compile` was given.
        else:
            yield metric


def _begins_with_zeros(metric: keras.metrics.Metric) -> bool:
    """Whether `reset_state` does nothing but set all variables to zero."""
    base = keras.metrics.Metric.reset_state
    return _is_known(metric) or type(metric).reset_state is base


def _is_known(metric: keras.metrics.Metric) -> bool:
    return type(metric).__module__.partition(".")[0] in ("keras", "kerascale")


def results(model: keras.Model, local: Any) -> dict[str, Any]:
    """The model's metrics over all replicas.

    Each replica adds up its own slice; here the sums meet.

    Args:
        model: Compiled.
        local: `model.get_metrics_result` as Keras has it, which reads variables.

    Returns:
        Name -> value, as `keras.Model.get_metrics_result` gives them.
    """
    variables = variables_of(model)
    if not variables:
        return local()

    sums = _sums_over_replicas(model, variables)
    mapping = [
        (variable, tf.cast(value, variable.dtype))
        for variable, value in zip(variables, sums, strict=True)
    ]
    with keras.StatelessScope(state_mapping=mapping):
        return local()


def _sums_over_replicas(
    model: keras.Model, variables: list[keras.Variable]
) -> list[tf.Tensor]:
    strategy = model.distribute_strategy

    box = stop_votes.collector()
    # Within a process everybody knows what is wanted.
    vote = box is not None and replicas.num_workers(strategy) > 1

    underway = step_loss.underway() if vote else None
    first = replicas.local_ids(strategy)[0]

    def total(losses: tf.Tensor | None) -> list[tf.Tensor]:
        values = [v.value.read_value() for v in variables]
        if losses is not None:
            # Every replica of a worker knows what they all add up to.
            is_first = tf.equal(_replica(), first)
            values.append(tf.where(is_first, losses, tf.zeros_like(losses)))
        if vote:
            # Of the same kind as losses: they travel in one message.
            values.append(tf.cast(stop_votes.variable().read_value(), tf.float64))
        return shared_memory.all_reduce_figures(
            [all_reduce.wide(value) for value in values]
        )

    def all_totals(losses: tf.Tensor | None = None) -> list[tf.Tensor]:
        run = replicas.run(strategy, lambda: total(losses))
        return replicas.first(strategy, run)

    losses = [] if underway is None else [underway[0]]
    if not tf.executing_eagerly():
        totals = all_totals(*losses)
    else:
        # Eager replicas are slow: a graph, kept while the metrics are the same.
        key = (vote, len(losses), *map(id, variables))
        kept = vars(model).get("_kerascale_totals")
        if kept is None or kept[0] != key:
            kept = (key, tf.function(all_totals, autograph=False))
            vars(model)["_kerascale_totals"] = kept
        totals = list(kept[1](*losses))
    if vote:
        box.append(totals.pop())
    if underway is not None:
        underway[1].append(totals.pop())
    return totals


def _replica() -> int | tf.Tensor:
    return tf.distribute.get_replica_context().replica_id_in_sync_group
