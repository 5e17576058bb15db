"""Gradients summed through shared memory, where all workers are on one host.

TensorFlow's own collective sends them through a socket and its protocol, RING over
gRPC, though they are in the memory of the same machine. Between two processes with a
core each, 40 MB took 174 ms that way and take 33 ms here, 3.2 MB 9.3 ms (1.8), and a
kilobyte 1.4 ms (0.45): it is slower at every size. So there is no
trial, and the choice is the same when a run is started again: with three workers and
more the two ways add up in another order, which shows in the last bits.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from kerascale.engine.collectives import all_reduce as packed
from kerascale.engine.collectives import consensus, replicas
from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.strategies import shared_memory

Choice = Literal["auto", "tensorflow", "shared_memory"]

# Says how, on every worker alike.
VARIABLE = "KERASCALE_ALL_REDUCE"

# More gradients are summed first: a program reads what is not in the processor's cache
# more than once, and the memory that processes share has small pages.
_MOST_BYTES_OF_BOTH = 2**23

# Of a reason.
_LONGEST_TEXT = 120


@dataclasses.dataclass
class _Way:
    """How the gradients of a strategy are summed.

    Args:
        strategy: The one of this process.
        sum: Through shared memory; None: TensorFlow's way.
        turn: Counts such sums; int64 scalar.
        said: What a person was told last.
    """

    strategy: tf.distribute.Strategy
    sum: shared_memory.SharedSum | None = None
    turn: tf.Variable | None = None
    said: str = ""


_way: _Way | None = None

Gradient = tf.Tensor | tf.IndexedSlices


def connect(strategy: tf.distribute.Strategy) -> None:
    """Finds out, once, how gradients are summed. All workers call it, in no graph.

    Through shared memory, if all workers are processes of one user on one Linux host
    that see each other, with one replica each, on its CPU; KERASCALE_ALL_REDUCE may
    say `tensorflow` or `shared_memory` instead of `auto`.

    Raises:
        RefusedError: On all workers, if the variable is wrong on one of them, differs,
            or asks for what cannot be.
    """
    global _way
    wish = os.environ.get(VARIABLE, "").strip() or "auto"
    if replicas.num_workers(strategy) == 1:
        _refuse_unknown([_number(wish)])
        if wish == "shared_memory" and strategy.num_replicas_in_sync > 1:
            raise _impossible("all replicas are in one process")
        return
    if _way is not None and _way.strategy is strategy:
        return
    wishes = consensus.gather(strategy, [_number(wish)])[:, 0].tolist()
    _refuse_unknown(wishes)
    _way = _Way(strategy)
    if wish == "tensorflow":
        return
    found, problem = _meet(strategy)
    if problem and wish == "shared_memory":
        raise _impossible(problem)
    _way.sum = found
    with tf.device("CPU:0"):
        made = tf.Variable(tf.zeros([], tf.int64), trainable=False, name="sums")
    # In a scope it is one of many parts.
    (_way.turn,) = strategy.experimental_local_results(made)


def all_reduce(tensors: Sequence[Gradient]) -> list[Gradient]:
    """As `all_reduce.all_reduce`, for gradients: through shared memory.

    Only where `connect` has found that it can be, for float32 and float64. Sparse ones
    may have another number of rows in each step.
    """
    way = _way_of(tf.distribute.get_strategy())
    if way is None:
        return packed.all_reduce(tensors)
    own = [i for i, tensor in enumerate(tensors) if _is_shareable(tensor)]
    if own:
        _say_sum(way, [tensors[i] for i in own])
    return _all_reduce(way, tensors)


def of_both(tensors: Sequence[Gradient]) -> list[list[Gradient]] | None:
    """The gradients of both of two workers, for a program that adds them up.

    Of few bytes that is quicker than a sum, which is written and read again. They are
    read where the other has them: `have_been_read` is called behind what reads them.

    Args:
        tensors: Gradients of this worker.

    Returns:
        Those of the first worker, and as many of the second; None: they are to be
        summed by `all_reduce`.
    """
    strategy = tf.distribute.get_strategy()
    way = _way_of(strategy)
    if way is None or strategy.num_replicas_in_sync != 2:
        return None
    if not tensors or not all(_is_shareable(t) or _has_rows(t) for t in tensors):
        return None
    dense = [t for t in tensors if _is_shareable(t)]
    if _num_bytes(dense) > _MOST_BYTES_OF_BOTH:
        return None
    _say_sum(way, dense)
    components = _components(tensors)
    is_sparse = len(components) > len(tensors)

    def give(*arrays: np.ndarray) -> list[np.ndarray]:
        return way.sum.rows_of_other(arrays) if is_sparse else way.sum.of_other(arrays)

    found = _put_together(tensors, _after_the_last(give, components))
    own = list(tensors)
    return [own, found] if replicas.worker_index(strategy) == 0 else [found, own]


def is_of_two() -> bool:
    """Whether two workers share their memory."""
    strategy = tf.distribute.get_strategy()
    return _way_of(strategy) is not None and strategy.num_replicas_in_sync == 2


def are_shareable(tensors: Sequence[Gradient]) -> bool:
    """Whether all of them can be in the memory that is shared, as they are."""
    return all(map(_is_shareable, tensors))


def swap(
    tensors: Sequence[tf.Tensor], like: Sequence[tf.Tensor | tf.Variable]
) -> list[tf.Tensor]:
    """What the other of two workers gives, for what it is given.

    It is read where the other has it: `have_been_read` is called behind what reads it.

    Args:
        tensors: For the other.
        like: Of the shapes and dtypes of what it gives, which has as much for this one.
    """
    way = _way_of(tf.distribute.get_strategy())
    theirs = [(t.dtype.name, tuple(t.shape.as_list())) for t in like]

    def give(*arrays: np.ndarray) -> list[np.ndarray]:
        return way.sum.swap(arrays, theirs)

    found = _after_the_last(give, list(tensors), [t.dtype for t in like])
    return [tf.ensure_shape(t, u.shape) for t, u in zip(found, like, strict=True)]


def have_been_read(after: tf.Tensor | tf.Operation) -> None:
    """Lets the next sum come, which may write over what `of_both` or `swap` gave.

    Args:
        after: Is there when it was read.
    """
    way = _way_of(tf.distribute.get_strategy())
    with tf.control_dependencies([after]):
        way.turn.assign_add(0)


def all_reduce_figures(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The same for what is no gradient: sums of metrics, losses, votes."""
    way = _way_of(tf.distribute.get_strategy())
    return packed.all_reduce(tensors) if way is None else _all_reduce(way, tensors)


def give_up(strategy: tf.distribute.Strategy, reason: str) -> None:
    """No sum is made from now on: each of them raises `PeerError` with this reason."""
    way = _way_of(strategy)
    if way is not None:
        way.sum.give_up(reason)


def is_used(strategy: tf.distribute.Strategy) -> bool:
    """Whether gradients are summed so, as `connect` has found."""
    return _way_of(strategy) is not None


def tokens() -> set[bytes]:
    """What TensorFlow calls the functions of Python that add up: no state is theirs."""
    return _tokens


def _way_of(strategy: tf.distribute.Strategy) -> "_Way | None":
    way = _way if _way is not None and _way.strategy is strategy else None
    return None if way is None or way.sum is None else way


def _all_reduce(way: "_Way", tensors: Sequence[Gradient]) -> list[Gradient]:
    own = [i for i, tensor in enumerate(tensors) if _is_shareable(tensor)]
    sparse = [i for i, tensor in enumerate(tensors) if _has_rows(tensor)]
    if not own and not sparse:
        return packed.all_reduce(tensors)
    packed.refuse_inside()
    result = list(tensors)
    known = {*own, *sparse}
    others = [i for i in range(len(tensors)) if i not in known]
    rest = packed.all_reduce([tensors[i] for i in others])
    for i, tensor in zip(others, rest, strict=True):
        result[i] = tensor

    def add(*arrays: np.ndarray) -> list[np.ndarray]:
        return way.sum(arrays)

    def gather(*arrays: np.ndarray) -> list[np.ndarray]:
        return way.sum.rows(arrays)

    for places, call in ((own, add), (sparse, gather)):
        given = [tensors[i] for i in places]
        if given:
            found = _put_together(given, _after_the_last(call, _components(given)))
            for i, total in zip(places, found, strict=True):
                result[i] = total
    return result


def _components(tensors: Sequence[Gradient]) -> list[tf.Tensor]:
    """Tensors, and of sparse ones the rows and their numbers."""
    found = []
    for tensor in tensors:
        if isinstance(tensor, tf.IndexedSlices):
            found += [tensor.values, tensor.indices]
        else:
            found.append(tensor)
    return found


def _put_together(
    like: Sequence[Gradient], components: Sequence[tf.Tensor]
) -> list[Gradient]:
    """What `_components` took apart, of the same shapes but for the number of rows."""
    left, found = iter(components), []
    for tensor in like:
        if isinstance(tensor, tf.IndexedSlices):
            values = tf.ensure_shape(next(left), [None, *tensor.values.shape[1:]])
            indices = tf.ensure_shape(next(left), [None])
            found.append(tf.IndexedSlices(values, indices, tensor.dense_shape))
        else:
            found.append(tf.ensure_shape(next(left), tensor.shape))
    return found


_tokens: set[bytes] = set()


def _after_the_last(
    add: Callable[..., list[np.ndarray]],
    shares: list[tf.Tensor],
    dtypes: Sequence[tf.DType] | None = None,
) -> list[tf.Tensor]:
    """Calls it behind the sum that was traced before: all workers have one order."""
    dtypes = dtypes or [t.dtype for t in shares]
    if tf.executing_eagerly():
        return tf.nest.flatten(tf.numpy_function(add, shares, dtypes))
    # What reads and writes a variable has an order, in loops too. What calls Python has
    # none in TensorFlow.
    count = _way_of(tf.distribute.get_strategy()).turn
    with tf.control_dependencies([count.read_value()]):
        sums = tf.nest.flatten(tf.numpy_function(add, shares, dtypes))
    with tf.control_dependencies(sums):
        count.assign_add(1)
    _tokens.add(sums[0].op.get_attr("token"))
    return sums


def variables() -> list[tf.Variable]:
    """What sums write."""
    return [] if _way is None or _way.turn is None else [_way.turn]


def _meet(
    strategy: tf.distribute.Strategy,
) -> tuple[shared_memory.SharedSum | None, str]:
    """Connects the workers; or says why they cannot be, on each of them alike."""
    peers = shared_memory.Peers(
        replicas.worker_index(strategy), replicas.num_workers(strategy)
    )
    # Of all workers at once: each must give up where one of them does.
    problem = _own_problem(strategy)
    addresses = consensus.gather(strategy, [int(bool(problem)), *peers.address])
    if not addresses[:, 0].any():
        problem = peers.connect(addresses[:, 1:])
    texts = _from_all(strategy, problem)
    if any(texts):
        peers.close()
        return None, next(text for text in texts if text)
    peers.close_doors()
    return shared_memory.SharedSum(peers), ""


def _own_problem(strategy: tf.distribute.Strategy) -> str:
    """Why this worker cannot share its memory; empty if it can."""
    if not hasattr(os, "memfd_create") or not os.path.isdir("/proc/self/fd"):
        return "shared memory without a name needs Linux and /proc"
    devices = strategy.extended.worker_devices
    if len(devices) > 1:
        return f"a worker has {len(devices)} replicas; expected one"
    if tf.DeviceSpec.from_string(devices[0]).device_type != "CPU":
        return "gradients are on a GPU, which has faster ways"
    return ""


def _from_all(strategy: tf.distribute.Strategy, text: str) -> list[str]:
    """A short text of each worker."""
    data = text.encode()[:_LONGEST_TEXT]
    padded = [*data, *[0] * (_LONGEST_TEXT - len(data))]
    rows = consensus.gather(strategy, padded)
    return [
        bytes(row.astype(np.uint8)).rstrip(b"\0").decode(errors="replace")
        for row in rows
    ]


def _is_shareable(tensor: Gradient) -> bool:
    if isinstance(tensor, tf.IndexedSlices):
        return False
    return tensor.dtype.name in shared_memory.DTYPES


def _has_rows(tensor: Gradient) -> bool:
    """Whether its rows can be gathered here."""
    if not isinstance(tensor, tf.IndexedSlices):
        return False
    dtypes = {tensor.values.dtype.name, tensor.indices.dtype.name}
    return dtypes <= set(shared_memory.ROW_DTYPES)


def _num_bytes(tensors: Sequence[tf.Tensor]) -> int:
    return sum(map(packed.num_bytes, tensors))


def say_shared_update(gradients: Sequence[tf.Tensor]) -> None:
    """Says that the workers share the update of gradients."""
    _say_sum(_way_of(tf.distribute.get_strategy()), gradients, is_shared=True)


def _say_sum(way: _Way, tensors: Sequence[tf.Tensor], is_shared: bool = False) -> None:
    num_bytes = _num_bytes(tensors)
    in_parts = ", each updates a part of the weights" if is_shared else ""
    text = (
        f"all-reduce: shared memory ({num_bytes / 1e6:.3g} MB of gradients, "
        f"{way.strategy.num_replicas_in_sync} workers of this host{in_parts})"
    )
    # A function may be traced again.
    if way.said != text and replicas.is_chief(way.strategy):
        say(text)
    way.said = text


def _number(wish: str) -> int:
    choices = get_args(Choice)
    return choices.index(wish) if wish in choices else -1


def _refuse_unknown(wishes: Sequence[int]) -> None:
    if min(wishes) < 0:
        where = f" on worker {wishes.index(-1)}" if len(wishes) > 1 else ""
        own = os.environ.get(VARIABLE, "")
        received = f" Received: {own!r:.80}." if _number(own.strip() or "auto") else ""
        raise RefusedError(
            f"{VARIABLE}: expected one of {', '.join(get_args(Choice))}{where}."
            f"{received} Unset it."
        )
    if len(set(wishes)) > 1:
        names = ", ".join(get_args(Choice)[wish] for wish in wishes)
        raise RefusedError(
            f"{VARIABLE}: expected the same on all workers. Received: {names}, in the "
            "order of their ranks. Set it alike, or unset it."
        )


def _impossible(reason: str) -> RefusedError:
    return RefusedError(
        f"{VARIABLE}: expected workers that can share memory: processes of one user on "
        f"one Linux host, with one replica each, on its CPU. Received: shared_memory, "
        f"where {reason}. Unset it."
    )
