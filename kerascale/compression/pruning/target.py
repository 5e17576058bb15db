"""A kernel that is pruned, and what goes with its units."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerascale.compression.pruning import choice
from kerascale.compression.pruning.choice import Structure


@dataclasses.dataclass(eq=False)
class Target:
    """A kernel that is pruned.

    Args:
        kernel: The variable.
        followers: Variables that go with its units.
        layer: Of the chain, whose units go; None: single weights go.
        norms: The batch normalizations behind it.
        consumer: The layer that takes them; None: single weights go.
    """

    kernel: keras.Variable
    followers: list[keras.Variable] = dataclasses.field(default_factory=list)
    layer: keras.layers.Layer | None = None
    norms: list[keras.layers.Layer] = dataclasses.field(default_factory=list)
    consumer: keras.layers.Layer | None = None

    @property
    def num_whole(self) -> int:
        """Units, or whatever goes as a whole."""
        return self.kernel.shape[-1]

    def choose(self, structure: Structure, value: Any, count: Any) -> Any:
        """What stays where so much goes; see `choice`.

        Args:
            structure: What goes.
            value: Of the kernel, in which what is gone is zero.
            count: How much of it goes; int64 scalar.
        """
        return choice.CHOICES[structure](value, count)

    def spread(self, mask: Any, variable: keras.Variable) -> Any:
        """A mask of whole units as one of the kernel or a follower."""
        del variable
        return mask

    def whole_norms(self) -> np.ndarray:
        """Of each unit; 0: it is gone."""
        kernel = np.asarray(keras.ops.convert_to_numpy(self.kernel), "float64")
        return np.sqrt(np.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))

    def slices(self, kept: np.ndarray) -> Iterator[tuple[Any, int, np.ndarray]]:
        """(variable, axis, indices that stay) for all that shrinks with some units.

        Args:
            kept: Numbers of the units that stay, ascending.
        """
        count = self.num_whole
        yield self.kernel, len(self.kernel.shape) - 1, kept
        bias = [self.layer.bias] if self.layer.use_bias else []
        of_norms = [v for norm in self.norms for v in norm.variables]
        each = (v for v in (*bias, *of_norms) if tuple(v.shape) == (count,))
        yield from ((v, 0, kept) for v in each)
        consumer = self.consumer.kernel
        # Behind `Flatten` a unit is an input for each place of the image: places before
        # channels.
        rows = np.arange(consumer.shape[-2])
        yield consumer, len(consumer.shape) - 2, rows[np.isin(rows % count, kept)]
