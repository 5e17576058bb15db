"""Small gradients in one buffer, put together and taken apart where XLA computes.

A tensor that leaves a program and goes into the next costs some 40 us on its way,
whatever its size. To copy a small one takes less.
"""

from collections.abc import Sequence

import tensorflow as tf

from kerascale.engine.collectives import all_reduce

# About what is copied twice in that time.
SMALL_BYTES = 2**18

Gradient = tf.Tensor | tf.IndexedSlices


class Packing:
    """Which gradients share a buffer: small ones of one dtype.

    Args:
        like: Gradients, dense ones of known shapes; sparse ones stay as they are.
    """

    def __init__(self, like: Sequence[Gradient]) -> None:
        small = [
            i
            for i, each in enumerate(like)
            if not isinstance(each, tf.IndexedSlices)
            and all_reduce.num_bytes(each) <= SMALL_BYTES
        ]
        groups = all_reduce.buckets([like[i] for i in small])
        # One alone gains nothing; but a scalar has no rows, and what is packed has.
        self._packed = [
            small[i]
            for group in groups
            if len(group) > 1 or like[small[group[0]]].shape.rank == 0
            for i in group
        ]
        self._specs = [
            tf.TensorSpec(like[i].shape, like[i].dtype) for i in self._packed
        ]
        self._others = sorted(set(range(len(like))) - set(self._packed))

    def pack(self, gradients: Sequence[Gradient]) -> list[Gradient]:
        """The buffers, of shape (numbers,), and behind them what is in none."""
        buffers = all_reduce.pack([gradients[i] for i in self._packed])
        return [*buffers, *(gradients[i] for i in self._others)]

    @property
    def num_buffers(self) -> int:
        """They are in front of what is in none."""
        return len(all_reduce.buckets(self._specs))

    @property
    def units(self) -> list[list[int]]:
        """Which gradients are in each buffer, and in what is behind them."""
        buffers = all_reduce.buckets(self._specs)
        packed = [[self._packed[i] for i in bucket] for bucket in buffers]
        return packed + [[i] for i in self._others]

    def taken_apart(self, place: int, tensor: Gradient) -> dict[int, Gradient]:
        """The gradients in one of `units`.

        Args:
            place: Which one.
            tensor: What is there.
        """
        unit = self.units[place]
        if place >= self.num_buffers:
            return {unit[0]: tensor}
        specs = [self._specs[self._packed.index(i)] for i in unit]
        return dict(zip(unit, all_reduce.unpack([tensor], specs), strict=True))

    def unpack(self, packed: Sequence[Gradient]) -> list[Gradient]:
        """What was packed, in its order and shapes."""
        found: dict[int, Gradient] = {}
        for place, tensor in enumerate(packed):
            found |= self.taken_apart(place, tensor)
        return [found[i] for i in range(len(found))]
