"""Gradients that travel between replicas in fewer bits, where a user asks for it.

What is sent is rounded, so that a result depends on the number of replicas: it leaves
the law of parity. A sum through the memory of one host stays as it is: nothing is sent.
"""

from collections.abc import Sequence
from typing import get_args

import tensorflow as tf

from kerascale.config import AllReduceDtype
from kerascale.engine.collectives import all_reduce as packed
from kerascale.engine.collectives import lockstep, replicas, shared_memory
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

_said: set[str] = set()


def refuse_unknown(dtype: str) -> None:
    """Raises `RefusedError` if gradients cannot travel so."""
    if dtype not in get_args(AllReduceDtype):
        raise RefusedError(
            f"all_reduce_dtype: expected one of {', '.join(get_args(AllReduceDtype))}. "
            f"Received: {dtype!r:.80}."
        )


def all_reduce(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices], dtype: AllReduceDtype
) -> list[tf.Tensor | tf.IndexedSlices]:
    """As `shared_memory.all_reduce`, with dense gradients rounded to a dtype.

    Args:
        gradients: Of this replica.
        dtype: In `float16` sums are rounded too, wherever they are made on their way,
            and what is above 65,504 is infinite. In `bfloat16`, of which TensorFlow
            makes no sums between workers, each replica is sent the gradients of all,
            and adds them up in their own dtype: with more than three replicas that is
            more than `float16` sends. `gradient`: as they are.
    """
    strategy = tf.distribute.get_strategy()
    is_alone = lockstep.current() is not None or strategy.num_replicas_in_sync == 1
    if dtype == "gradient" or is_alone:
        return shared_memory.all_reduce(gradients)
    if shared_memory.is_used(strategy):
        _say_once(
            strategy,
            f"all_reduce_dtype={dtype}: gradients of workers of one host are summed in "
            "its memory, and stay as they are",
        )
        return shared_memory.all_reduce(gradients)
    packed.refuse_inside()
    places = [i for i, g in enumerate(gradients) if _is_wider(g, dtype)]
    size = sum(gradients[i].shape.num_elements() for i in places)
    _say_once(
        strategy,
        f"all-reduce: {size:,} numbers of gradients travel in {dtype}: the result is "
        "that of this number of replicas, within the rounding of that",
    )
    rest = [g for i, g in enumerate(gradients) if i not in set(places)]
    wide = [gradients[i] for i in places]
    narrow = [tf.cast(g, dtype) for g in wide]
    summed = packed.all_reduce(narrow) if dtype == "float16" else _gathered(narrow)
    totals = dict(zip(places, map(_as_wide, summed, wide), strict=True))
    others = iter(packed.all_reduce(rest))
    return [totals[i] if i in totals else next(others) for i in range(len(gradients))]


def _is_wider(gradient: tf.Tensor | tf.IndexedSlices, dtype: str) -> bool:
    if isinstance(gradient, tf.IndexedSlices) or not gradient.dtype.is_floating:
        return False
    is_known = gradient.shape.is_fully_defined()
    return is_known and gradient.dtype.size > tf.as_dtype(dtype).size


def _as_wide(total: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(total, like.dtype)


def _gathered(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Sums in float32, in the order of replicas, of what they send each other."""
    context = tf.distribute.get_replica_context()
    totals = []
    for buffer in packed.pack(tensors):
        # As integers, which collectives take.
        bits = tf.cast(tf.bitcast(buffer, tf.uint16), tf.int32)
        even = tf.pad(bits, [[0, bits.shape[0] % 2]])
        pairs = tf.reshape(even, [-1, 2])
        high = tf.bitwise.left_shift(pairs[:, 1], 16)
        words = tf.bitwise.bitwise_or(pairs[:, 0], high)
        table = context.all_gather(words[None], axis=0)
        found = tf.stack(
            [
                tf.bitwise.bitwise_and(table, 0xFFFF),
                tf.bitwise.bitwise_and(tf.bitwise.right_shift(table, 16), 0xFFFF),
            ],
            axis=-1,
        )
        rows = tf.reshape(found, [context.num_replicas_in_sync, -1])
        values = tf.bitcast(tf.cast(rows, tf.uint16), buffer.dtype)
        parts = tf.unstack(tf.cast(values, tf.float32)[:, : bits.shape[0]])
        total = parts[0]
        for part in parts[1:]:
            total += part
        totals.append(total)
    return packed.unpack(totals, tensors)


def _say_once(strategy: tf.distribute.Strategy, text: str) -> None:
    if text not in _said and replicas.is_chief(strategy):
        _said.add(text)
        say(text)
