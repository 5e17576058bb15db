"""Random numbers that are a pure function of (seed, epoch, example, draw).

Nothing is carried from one call to the next, so an example gets the same numbers
in whatever batch, replica, worker or resumed run it is met. `tf.random.stateless_*`
takes one seed a call, not one an example; here a batch is one vectorised hash.

Source of the hash: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
number generators", OOPSLA 2014; constants of `java.util.SplittableRandom`).
"""

import hashlib
import operator

import numpy as np
import tensorflow as tf

from kerascale.errors import RefusedError

_MAX_SEED = 2**63 - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def uniform(
    indices: tf.Tensor,
    *,
    seed: int,
    epoch: tf.Tensor | int,
    draws: int,
    stream: str = "uniform",
) -> tf.Tensor:
    """Numbers in [0, 1) for each example: a row depends on its own index only.

    Works eagerly, in a `tf.function` and in `tf.data` maps.

    Args:
        indices: Integer tensor of shape (examples,): places in the data set.
        seed: An integer from 0 to 2**63 - 1.
        epoch: An integer, or an integer tensor of shape ().
        draws: How many numbers an example gets. Draw 2 is the same number
            whether there are 3 draws or 30.
        stream: Who draws. Two streams share no numbers at the same seed.

    Returns:
        float32 tensor of shape (examples, draws), multiples of 2**-24.

    Raises:
        RefusedError: If `seed` is not such an integer.

    Example:

    ```python
    uniform(tf.range(128), seed=7, epoch=3, draws=5)  # (128, 5)
    ```
    """
    steps = np.arange(1, draws + 1, dtype=np.uint64) * np.uint64(_GOLDEN_GAMMA)
    indices = tf.cast(tf.cast(indices, tf.int64), tf.uint64)
    example = _counter_hash(epoch_key(seed, epoch, stream), indices)
    hashed = _mix(example[:, tf.newaxis] + tf.constant(steps))
    # float32 holds 24 bits exactly: rounding more of them could give 1.0.
    top_bits = tf.bitwise.right_shift(hashed, tf.constant(40, tf.uint64))
    return tf.cast(top_bits, tf.float32) * 2.0**-24


def epoch_key(seed: int, epoch: tf.Tensor | int, stream: str) -> tf.Tensor:
    """64 well mixed bits for one stream of one epoch.

    Args:
        seed: An integer from 0 to 2**63 - 1.
        epoch: An integer, or an integer tensor of shape ().
        stream: Who draws.

    Returns:
        uint64 tensor of shape ().

    Raises:
        RefusedError: If `seed` is not such an integer.
    """
    return key_of_epoch(tf.constant(stream_key(seed, stream), tf.uint64), epoch)


def key_of_epoch(key: tf.Tensor, epoch: tf.Tensor | int) -> tf.Tensor:
    """Like `epoch_key`, from the key of a stream as a tensor: uint64 scalar."""
    if not tf.is_tensor(epoch):
        epoch = tf.constant(epoch, tf.int64)
    return _counter_hash(key, tf.cast(tf.cast(epoch, tf.int64), tf.uint64))


def stream_key(seed: int, stream: str) -> int:
    """64 well mixed bits for one stream of a seed.

    Args:
        seed: An integer from 0 to 2**63 - 1.
        stream: Who draws.

    Raises:
        RefusedError: If `seed` is not such an integer.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= _MAX_SEED:
        raise RefusedError(
            "The seed cannot be used. Expected: an integer from 0 to 2**63 - 1. "
            f"Received: seed={seed!r}."
        )
    text = f"{stream}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _counter_hash(key: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """Number `counter` of the SplitMix64 generator whose state is `key`."""
    gamma = tf.constant(_GOLDEN_GAMMA, tf.uint64)
    return _mix(key + gamma * (counter + tf.constant(1, tf.uint64)))


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """The finaliser of SplitMix64: a bijection of 64 bits."""
    bits = _xor_shifted(bits, 30) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    bits = _xor_shifted(bits, 27) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return _xor_shifted(bits, 31)


def _xor_shifted(bits: tf.Tensor, distance: int) -> tf.Tensor:
    shifted = tf.bitwise.right_shift(bits, tf.constant(distance, tf.uint64))
    return tf.bitwise.bitwise_xor(bits, shifted)
