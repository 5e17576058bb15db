"""A user's own `tf.data` on several workers: what would differ is refused."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from kerascale.engine.collectives import consensus, replicas
from kerascale.errors import RefusedError


def check(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> None:
    """Refuses a dataset that would not be the same on every worker.

    Args:
        dataset: Of global batches.
        strategy: That of the model.

    Raises:
        RefusedError: Naming an unseeded shuffle, an unknown number of batches, or
            workers that disagree on it.
    """
    if replicas.num_workers(strategy) == 1:
        return
    problems = []
    unseeded = num_unseeded_shuffles(dataset)
    if unseeded:
        problems.append(
            "data: expected the same order on every worker. Received: "
            f"{unseeded} shuffle without a seed. Write dataset.shuffle(size, seed=1)"
        )
    cardinality = int(dataset.cardinality())
    if cardinality == tf.data.UNKNOWN_CARDINALITY:
        problems.append(
            "data: expected a known number of batches: a worker that ran out of data "
            "would leave the others waiting. Received: an unknown one. Apply "
            "tf.data.experimental.assert_cardinality(number_of_batches)"
        )
    # Even if refused here: the others may not be, and wait for this worker.
    _agree(strategy, cardinality, [len(problems)], problems)


def check_workers(
    strategy: tf.distribute.Strategy, num_batches: int, facts: Sequence[int]
) -> None:
    """Refuses batches of which workers disagree on number or order."""
    if replicas.num_workers(strategy) > 1:
        _agree(strategy, num_batches, facts, [])


def _agree(
    strategy: tf.distribute.Strategy,
    num_batches: int,
    facts: Sequence[int],
    problems: list[str],
) -> None:
    table = consensus.gather(strategy, [num_batches, *facts])
    if (table[:, 0] != table[0, 0]).any():
        problems.append(
            "data: expected the same number of batches on every worker. Received: "
            f"{', '.join(map(str, table[:, 0]))}. Give every worker the whole data "
            "set: fit gives each its rows"
        )
    elif (table != table[0]).any():
        problems.append(
            "data: expected the same data and seed on every worker. Received: workers "
            "that differ. Start all of them with the same configuration"
        )
    if problems:
        raise RefusedError(problems, heading="data on several workers")


def num_unseeded_shuffles(dataset: tf.data.Dataset) -> int:
    """How many `shuffle` in a dataset have no seed, of the op or of TensorFlow."""
    serialized = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(dataset),
        external_state_policy=1,  # State is no matter: only its graph is read.
    )
    graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
    functions = [function.node_def for function in graph.library.function]
    return sum(_unseeded(nodes) for nodes in [graph.node, *functions])


def _unseeded(nodes: Iterable[Any]) -> int:
    # Of integers alone: a generator of seeds is a constant too, of no value.
    constants = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in nodes
        if node.op == "Const" and node.attr["dtype"].type == tf.int64.as_datatype_enum
    }
    return sum(
        all(int(constants.get(name.split(":")[0], 1)) == 0 for name in node.input[2:4])
        for node in nodes
        if node.op.startswith("Shuffle")
    )
