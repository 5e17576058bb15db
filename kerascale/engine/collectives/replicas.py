"""What a strategy is made of, and values of a kind for each of its replicas."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.strategies import mesh_peers


def local_ids(strategy: tf.distribute.Strategy) -> list[int]:
    """The numbers, over all workers, of the replicas that this process has."""
    ids: list[int] = []

    def collect(context: Any) -> tf.Tensor:
        ids.append(int(context.replica_id_in_sync_group))
        return tf.zeros(())

    strategy.experimental_distribute_values_from_function(collect)
    return ids


@functools.lru_cache(maxsize=8)  # Asked for many times in a `fit` of milliseconds.
def is_distributed(strategy: tf.distribute.Strategy) -> bool:
    """Whether it is another than the default strategy, which is none."""
    with tf.Graph().as_default():  # A graph of its own is in no scope.
        return strategy is not tf.distribute.get_strategy()


def is_in_one() -> bool:
    """Whether this is called where one replica computes."""
    in_cross = tf.distribute.in_cross_replica_context()
    return tf.distribute.has_strategy() and not in_cross


def is_spread(variable: tf.Variable) -> bool:
    """Whether a variable has a value for each replica."""
    return isinstance(variable, tf.distribute.DistributedValues)


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes that take part."""
    if strategy.num_replicas_in_sync == 1:
        return mesh_peers.here().count
    return strategy.num_replicas_in_sync // len(local_ids(strategy))


def are_processes_of_a_mesh(strategy: tf.distribute.Strategy) -> bool:
    """Whether workers are processes that share a mesh: each sees the whole batch."""
    return strategy.num_replicas_in_sync == 1 and mesh_peers.here().count > 1


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """This process among the workers, from 0."""
    if strategy.num_replicas_in_sync == 1:
        return mesh_peers.here().index
    ids = local_ids(strategy)
    return ids[0] // len(ids)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files of a run."""
    return worker_index(strategy) == 0


def per_replica(
    strategy: tf.distribute.Strategy, ids: Sequence[int], values: Sequence[Any]
) -> Any:
    """One value for each local replica, as an argument for `strategy.run`.

    Args:
        strategy: Not TensorFlow's default one.
        ids: What `local_ids` gives.
        values: Nests of tensors or None, one for each of `ids`.
    """

    def leaf(*parts: tf.Tensor) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: parts[ids.index(int(context.replica_id_in_sync_group))]
        )

    return nests.map_present(leaf, *values)


def first(strategy: tf.distribute.Strategy, value: Any) -> Any:
    """What the first local replica returned."""
    return keras.tree.map_structure(
        lambda v: strategy.experimental_local_results(v)[0], value
    )


def run(strategy: tf.distribute.Strategy, function: Callable, *args: Any) -> Any:
    """`strategy.run`, which autograph would otherwise rewrite."""
    return strategy.run(tf.autograph.experimental.do_not_convert(function), args=args)
