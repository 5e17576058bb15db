"""What workers tell one another outside of the steps. All of them must call it."""

import functools
import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.collectives import all_reduce, replicas
from kerascale.errors import RefusedError


def gather(strategy: tf.distribute.Strategy, values: Sequence[int]) -> np.ndarray:
    """Integers of every worker. All workers call it.

    Returns:
        int64 of shape (workers, values).
    """
    if replicas.num_workers(strategy) == 1:
        return np.array([values], np.int64)
    if replicas.are_processes_of_a_mesh(strategy):
        return _on_a_mesh().integers(values)
    # Of any number of values: to trace it takes longer than most messages.
    table = _gather(strategy)(tf.constant(values, tf.int64)).numpy()
    return table[:: len(replicas.local_ids(strategy))]


@functools.lru_cache(maxsize=1)
def _gather(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    def gather(values: tf.Tensor) -> tf.Tensor:
        def own() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            rows = tf.one_hot(
                context.replica_id_in_sync_group,
                strategy.num_replicas_in_sync,
                dtype=tf.int64,
            )
            table = rows[:, None] * values
            return context.all_reduce(tf.distribute.ReduceOp.SUM, table)

        return replicas.first(strategy, replicas.run(strategy, own))

    return tf.function(gather, [tf.TensorSpec([None], tf.int64)], autograph=False)


def from_chief(strategy: tf.distribute.Strategy, make: Callable[[], str]) -> str:
    """A text that the chief makes, on every worker.

    Args:
        strategy: With one worker it is what `make` returns.
        make: Called by the chief alone.

    Raises:
        RefusedError: On every worker, if `make` raised it on the chief.
    """
    if replicas.num_workers(strategy) == 1:
        return make()
    text, refused, failure = "", 0, None
    if replicas.is_chief(strategy):
        try:
            text = make()
        except RefusedError as error:
            text, refused, failure = str(error), 1, error
    payload = text.encode()
    lengths = gather(strategy, [len(payload), refused])
    length, was_refused = lengths[0]
    bytes_here = np.zeros(max(1, length), np.int64)
    bytes_here[: len(payload)] = list(payload)
    text = bytes(gather(strategy, bytes_here)[0, :length].astype(np.uint8)).decode()
    if was_refused:
        raise failure or RefusedError(text)
    return text


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has called it."""
    if replicas.num_workers(strategy) > 1:
        gather(strategy, [0])


def take_from_chief(
    strategy: tf.distribute.Strategy, variables: Iterable[keras.Variable]
) -> None:
    """Gives every worker the chief's values of some variables."""
    if replicas.num_workers(strategy) == 1:
        return
    values = [v.value for v in variables if v.dtype != "string"]
    if replicas.are_processes_of_a_mesh(strategy):
        is_chief = replicas.is_chief(strategy)
        for variable in variables:
            give(variable, variable.numpy() if is_chief else None)
        return

    def take() -> None:
        context = tf.distribute.get_replica_context()
        is_first = tf.equal(context.replica_id_in_sync_group, 0)
        own = [
            tf.where(is_first, wide, tf.zeros_like(wide))
            for wide in (all_reduce.wide(v.read_value()) for v in values)
        ]
        for variable, value in zip(values, all_reduce.all_reduce(own), strict=True):
            variable.assign(tf.cast(value, variable.dtype))

    tf.function(lambda: replicas.run(strategy, take), autograph=False)()


def give(variable: keras.Variable, array: np.ndarray | None) -> None:
    """Gives a variable, on all processes of a mesh, what the first one has for it.

    Args:
        variable: However it lies.
        array: Of its shape; None on another process than the first.
    """
    _on_a_mesh().give(variable, array)


def fill(variable: keras.Variable, array: Any) -> None:
    """Gives a variable, on a process of a mesh, what it reads of an array for itself.

    Args:
        variable: However it lies.
        array: The same in each process, where only some of it may be read.
    """
    _on_a_mesh().fill(variable, array)


def peers() -> Any:
    """The processes of a mesh as those that save together."""
    return _on_a_mesh().peers()


def texts(strategy: tf.distribute.Strategy, own: str) -> list[str]:
    """What each process of a mesh says. With one worker it is what that says."""
    if not replicas.are_processes_of_a_mesh(strategy):
        return [own]
    return [each.decode() for each in _on_a_mesh().texts(own.encode())]


def _on_a_mesh() -> Any:
    """What processes of a mesh tell one another by; it needs JAX."""
    return importlib.import_module("kerascale.engine.mesh.exchange")
