"""Small gradients in one buffer, put together and taken apart where XLA computes.

A tensor that leaves a program and goes into the next costs some 40 us on its way,
whatever its size. To copy a small one takes less.
"""

from collections.abc import Sequence

import tensorflow as tf

# About what is copied twice in that time.
SMALL_BYTES = 2**18

Gradient = tf.Tensor | tf.IndexedSlices


class Packing:
    """Which gradients share a buffer: small ones of one dtype.

    Args:
        like: Gradients, dense ones of known shapes; sparse ones stay as they are.
    """

    def __init__(self, like: Sequence[Gradient]) -> None:
        self._shapes = [None if _is_sparse(each) else each.shape for each in like]
        groups: dict[str, list[int]] = {}
        for i, each in enumerate(like):
            if not _is_sparse(each) and _num_bytes(each) <= SMALL_BYTES:
                groups.setdefault(each.dtype.name, []).append(i)
        # One alone gains nothing; but a scalar has no rows, and what is packed has.
        self._groups = [
            group
            for group in groups.values()
            if len(group) > 1 or like[group[0]].shape.rank == 0
        ]
        packed = {i for group in self._groups for i in group}
        self._others = [i for i in range(len(like)) if i not in packed]

    def pack(self, gradients: Sequence[Gradient]) -> list[Gradient]:
        """The buffers, of shape (numbers,), and behind them what is in none."""
        buffers = [
            tf.concat([tf.reshape(gradients[i], [-1]) for i in group], axis=0)
            for group in self._groups
        ]
        return [*buffers, *(gradients[i] for i in self._others)]

    def unpack(self, packed: Sequence[Gradient]) -> list[Gradient]:
        """What was packed, in its order and shapes."""
        found: list[Gradient] = [None] * len(self._shapes)
        count = len(self._groups)
        for buffer, group in zip(packed[:count], self._groups, strict=True):
            sizes = [self._shapes[i].num_elements() for i in group]
            for i, part in zip(group, tf.split(buffer, sizes), strict=True):
                found[i] = tf.reshape(part, self._shapes[i])
        for i, each in zip(self._others, packed[count:], strict=True):
            found[i] = each
        return found


def _is_sparse(gradient: Gradient) -> bool:
    return isinstance(gradient, tf.IndexedSlices)


def _num_bytes(tensor: tf.Tensor) -> int:
    return tensor.shape.num_elements() * tensor.dtype.size
