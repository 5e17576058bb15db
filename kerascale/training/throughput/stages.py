"""Which stage of reading data takes longest: read, decode or augment."""

import time

import tensorflow as tf

from kerascale.datasets.gathers import FromArrays
from kerascale.datasets.source import Source

_BATCHES = 3


def slowest(source: Source) -> str | None:
    """The stage that takes longest, on the first batches, read once more.

    Args:
        source: Of the training.

    Returns:
        `gather` (of data in memory), `read`, `decode` or `augment`; None of a user's
        own pipeline, whose stages are not known.
    """
    if not source.is_indexed:
        return None
    seconds = _seconds(source)
    return max(seconds, key=seconds.get)


def _seconds(source: Source) -> dict[str, float]:
    """Stage -> how long it takes on some batches."""
    most = min(_BATCHES, source.num_full_batches)
    plain = source.for_evaluation()
    if source.host is None:
        read = _timed(plain, most)
        is_in_memory = (
            isinstance(plain.gather, FromArrays) and plain.gather.index is None
        )
        name = "gather" if is_in_memory else "read"
        return {name: read, "augment": _timed(source, most) - read}
    clock = source.host.clock
    before = dict(clock.seconds)
    whole = _timed(source, most)
    found = {name: s - before.get(name, 0) for name, s in clock.seconds.items()}
    # Threads read beside each other; what is left of the time is the rest's.
    in_threads = sum(found.values()) / source.host.num_threads
    return {**found, "augment": whole - in_threads}


def _timed(source: Source, num_batches: int) -> float:
    batch = tf.function(source.batch, autograph=False)
    zero = tf.constant(0, tf.int64)
    batch(zero, zero)  # It is traced.
    began = time.perf_counter()
    for step in range(num_batches):
        tf.nest.map_structure(
            lambda t: t.shape, batch(zero, tf.constant(step, tf.int64))
        )
    return time.perf_counter() - began
