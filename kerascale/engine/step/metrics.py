"""Metrics of all replicas, read in one packed reduction."""

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
