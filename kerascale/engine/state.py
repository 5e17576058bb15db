"""Everything in a model and its optimizer that the next step depends on.

It is taken from any strategy and given to any other, with any number of replicas.
"""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.collectives import all_reduce, consensus, replicas, whole
from kerascale.errors import RefusedError
from kerascale.runtime.array_parts import ArrayParts, Piece

# An array, or what this process has of one.
Captured = np.ndarray | ArrayParts


def capture(
    model: keras.Model,
    *,
    metrics: bool = True,
    weights: bool = True,
    into: Mapping[str, Captured] | None = None,
    in_parts: bool = False,
) -> dict[str, Captured]:
    """Copies of all variables: weights, seeds, optimizer, sums of metrics.

    All workers call it, and all get the same.

    Args:
        model: Compiled and built.
        metrics: Whether sums of metrics are taken: within an epoch they are needed,
            between two they begin anew.
        weights: Whether anything else is taken.
        into: What was captured before and is not needed any more. Its arrays are
            written over: memory that is new costs ten times the copy.
        in_parts: Whether of what is cut over processes of a mesh each takes its own
            part, so that no host holds all of it.

    Returns:
        Name -> array. What each replica adds up for itself (metrics, gradients of
        micro-batches) has a first axis of replicas, under a name that ends in
        `@replicas`.
    """
    named = _variables(model, metrics)
    if not weights:
        named = {n: v for n, v in named.items() if n.startswith("metrics/")}
    own = {name: v for name, v in named.items() if _is_per_replica(v)}
    arrays = {
        name: _copied(variable, (into or {}).get(name), in_parts)
        for name, variable in named.items()
        if name not in own
    }
    sums = _per_replica_values(model, list(own.values()))
    arrays |= {f"{name}@replicas": value for name, value in zip(own, sums, strict=True)}
    return arrays


def held(variable: keras.Variable) -> np.ndarray:
    """What the backend holds of a variable itself: `numpy()` would be a copy of it.

    What is cut over the processes of a mesh is put together: all of them call it.
    """
    if _is_on_jax():
        return whole.array(variable)
    return np.asarray(tf.convert_to_tensor(variable.value))


def _is_on_jax() -> bool:
    return keras.backend.backend() == "jax"


# (whether the backend is JAX, dtype there) -> what a checkpoint has: counters and seeds
# are those of TensorFlow, where a run may go on.
_WIDE = {(True, "int32"): np.int64, (True, "uint32"): np.int64}


def _copied(
    variable: keras.Variable, into: Captured | None, in_parts: bool
) -> Captured:
    own = whole.parts(variable) if in_parts else None
    if own is None:
        return _copy(held(variable), into if isinstance(into, np.ndarray) else None)
    before = into.pieces if isinstance(into, ArrayParts) else ()
    spare = [piece.array for piece in before] + [None] * len(own.pieces)
    pieces = [
        Piece(piece.start, _copy(piece.array, array))
        for piece, array in zip(own.pieces, spare, strict=False)
    ]
    dtype = _WIDE.get((True, str(own.dtype)), own.dtype)
    return ArrayParts(own.shape, np.dtype(dtype), tuple(pieces))


def _copy(value: np.ndarray, into: np.ndarray | None) -> np.ndarray:
    wide = _WIDE.get((_is_on_jax(), str(value.dtype)))
    if wide is not None:
        value = value.astype(wide)
    if into is None or (into.shape, into.dtype) != (value.shape, value.dtype):
        return np.array(value)
    np.copyto(into, value)
    return into


def restore(
    model: keras.Model,
    arrays: Mapping[str, np.ndarray] | None,
    *,
    metrics: bool = True,
) -> None:
    """Gives a model the variables that `capture` took. All workers call it.

    Args:
        model: Compiled and built as the one that was captured.
        arrays: What `capture` returned, on the chief; other workers are given the
            chief's, and pass None. Where all of them pass arrays, each process of a
            mesh reads what its devices have of them.
        metrics: As in `capture`.

    Raises:
        RefusedError: On every worker, naming every variable that is missing, left
            over, or of another shape. Nothing has been changed then.
    """
    strategy = model.distribute_strategy
    named = _variables(model, metrics)
    consensus.from_chief(strategy, lambda: _refuse_others(named, arrays))
    own = {name: v for name, v in named.items() if _is_per_replica(v)}
    rest = {name: v for name, v in named.items() if name not in own}
    if replicas.are_processes_of_a_mesh(strategy):
        by_all = consensus.gather(strategy, [int(arrays is not None)]).all()
        for name, variable in rest.items():
            if by_all:
                consensus.fill(variable, arrays[name])
            else:
                array = None if arrays is None else _narrow(arrays[name], variable)
                consensus.give(variable, array)
        return
    if arrays is not None:
        for name, variable in rest.items():
            variable.assign(_narrow(arrays[name], variable))
    consensus.take_from_chief(strategy, rest.values())
    for name, variable in own.items():
        table = _table(strategy, variable)
        if arrays is not None:
            table = _for_replicas(arrays[f"{name}@replicas"], len(table))
        _assign_parts(strategy, variable, _from_chief(strategy, table))


def put_back(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Gives a model what `capture` took of it before, in this process.

    Each worker has the same, so that nothing is sent. Variables are those of then.

    Args:
        model: The one that was captured.
        arrays: What `capture` returned.
    """
    strategy = model.distribute_strategy
    for name, variable in _variables(model, metrics=True).items():
        if not _is_per_replica(variable):
            variable.assign(arrays[name])
        else:
            _assign_parts(strategy, variable, arrays[f"{name}@replicas"])


def _narrow(array: np.ndarray, variable: keras.Variable) -> np.ndarray:
    """Integers as the backend has them."""
    is_wide = _is_on_jax() and array.dtype == np.int64
    return array.astype(variable.dtype) if is_wide else array


def _assign_parts(
    strategy: tf.distribute.Strategy, variable: keras.Variable, table: np.ndarray
) -> None:
    """Gives each replica of this process its row of a table."""
    parts = strategy.experimental_local_results(variable.value)
    for part, replica in zip(parts, replicas.local_ids(strategy), strict=True):
        part.assign(table[replica])


def _refuse_others(
    named: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]
) -> str:
    given = {name.removesuffix("@replicas"): name for name in arrays}
    problems = [
        f"{name} ({v.path}): expected in the checkpoint, and not there"
        for name, v in named.items()
        if name not in given
    ]
    problems += [
        f"{name}: in the checkpoint, and not in the model"
        for name in given
        if name not in named
    ]
    for name, variable in named.items():
        if name not in given:
            continue
        shape = arrays[given[name]].shape
        shape = shape[1:] if given[name].endswith("@replicas") else shape
        if shape != tuple(variable.shape):
            problems.append(
                f"{name} ({variable.path}): expected shape {tuple(variable.shape)}. "
                f"Received: {shape}"
            )
    if problems:
        raise RefusedError(problems, heading="checkpoint")
    return ""


def is_cut(model: keras.Model) -> bool:
    """Whether no process of a mesh has all of a model."""
    return whole.are_cut(variables(model))


def variables(model: keras.Model) -> list[keras.Variable]:
    """All that `capture` takes."""
    return list(_variables(model, metrics=True).values())


def _variables(model: keras.Model, metrics: bool) -> dict[str, keras.Variable]:
    # By place: names like dense_1 differ from one process to another.
    groups = {"model": model.variables}
    # A model that was never compiled has no such attribute.
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        groups["optimizer"] = optimizer.variables
    of_metrics = {id(v): v for metric in model.metrics for v in metric.variables}
    groups = {
        kind: [v for v in group if id(v) not in of_metrics]
        for kind, group in groups.items()
    }
    if metrics:
        groups["metrics"] = list(of_metrics.values())
    return {
        f"{kind}/{i:05d}": v
        for kind, group in groups.items()
        for i, v in enumerate(group)
    }


def _is_per_replica(variable: keras.Variable) -> bool:
    return (
        getattr(variable.value, "synchronization", None)
        == tf.VariableSynchronization.ON_READ
    )


def _per_replica_values(
    model: keras.Model, variables: list[keras.Variable]
) -> list[np.ndarray]:
    strategy = model.distribute_strategy
    if not variables:
        return []
    if replicas.num_workers(strategy) == 1:
        return [
            np.stack([p.numpy() for p in strategy.experimental_local_results(v.value)])
            for v in variables
        ]
    tables = _gathering(model, variables)()
    return [
        value.numpy().astype(v.dtype)
        for v, value in zip(variables, tables, strict=True)
    ]


# Model -> the variables, and the function that reads them: one trace for all saves.
_functions: weakref.WeakKeyDictionary[keras.Model, dict[tuple[int, ...], Any]] = (
    weakref.WeakKeyDictionary()
)


def _gathering(
    model: keras.Model, variables: list[keras.Variable]
) -> Callable[[], list[tf.Tensor]]:
    """A function that gives every worker the values of all replicas."""
    strategy = model.distribute_strategy
    known = _functions.setdefault(model, {})
    key = tuple(id(variable) for variable in variables)
    if key in known:
        return known[key]
    values = [variable.value for variable in variables]
    count = strategy.num_replicas_in_sync

    def table() -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        own = tf.equal(tf.range(count), context.replica_id_in_sync_group)
        return all_reduce.all_reduce(
            [
                # Not by a product: what is infinite elsewhere is zero here.
                tf.where(
                    tf.reshape(own, [-1] + [1] * value.shape.rank),
                    value[None],
                    tf.zeros_like(value)[None],
                )
                for value in (all_reduce.wide(v.read_value()) for v in values)
            ]
        )

    known[key] = tf.function(
        lambda: replicas.first(strategy, replicas.run(strategy, table)), autograph=False
    )
    return known[key]


def _table(strategy: tf.distribute.Strategy, variable: keras.Variable) -> np.ndarray:
    shape = (strategy.num_replicas_in_sync, *variable.shape)
    return np.zeros(shape, variable.dtype)


def _for_replicas(values: np.ndarray, count: int) -> np.ndarray:
    """The same sum on another number of replicas."""
    if len(values) == count:
        return values
    table = np.zeros((count, *values.shape[1:]), values.dtype)
    table[0] = values.sum(axis=0, dtype=values.dtype)
    return table


def _from_chief(strategy: tf.distribute.Strategy, table: np.ndarray) -> np.ndarray:
    """The chief's values; those of the other workers are zero."""
    if replicas.num_workers(strategy) == 1:
        return table

    def own() -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        wide = all_reduce.wide(tf.constant(table))
        first = tf.equal(context.replica_id_in_sync_group, 0)
        return all_reduce.all_reduce([tf.where(first, wide, tf.zeros_like(wide))])

    (total,) = tf.function(
        lambda: replicas.first(strategy, replicas.run(strategy, own)), autograph=False
    )()
    return total.numpy().astype(table.dtype)
