"""Variables that are cut over processes, read by the first process one after the other.

While it reads one, all put it together; nobody holds more than one of them at a time.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from kerascale.engine.mesh import exchange
from kerascale.errors import RefusedError
from kerascale.strategies import mesh_peers

_DONE = "done"
_numbers = itertools.count()


class Section:
    """A time in which the first process reads, until it says that it is done.

    All processes make the same ones in the same order.

    Args:
        values: Of the variables that are cut, as they lie.
    """

    def __init__(self, values: Sequence[jax.Array]) -> None:
        self._number = next(_numbers)
        self._values = values
        self._said = itertools.count()
        self._is_done = False
        if self._number > 1 and mesh_peers.here().index == 0:
            exchange.peers().forget(_name(self._number - 2))  # All have left it.

    def readable(self) -> list["Readable"]:
        """What the first process has of each value instead."""
        return [Readable(self, place, v) for place, v in enumerate(self._values)]

    def read(self, place: int) -> np.ndarray:
        """One of them, whole."""
        if self._is_done:
            raise RefusedError(
                "model: expected variables to be read within strategy.on_host(model). "
                "Received: one that is cut over processes."
            )
        self._say(str(place))
        return exchange.whole(self._values[place])

    def done(self) -> None:
        """Nothing is read any more; the others go on."""
        if not self._is_done:
            self._is_done = True
            self._say(_DONE)

    def serve(self) -> None:
        """The side of another process."""
        peers = exchange.peers()
        while (said := peers.hear(self._next())) != _DONE:
            exchange.whole(self._values[int(said)])

    def _say(self, text: str) -> None:
        exchange.peers().say(self._next(), text)

    def _next(self) -> str:
        return f"{_name(self._number)}/{next(self._said)}"


class Readable:
    """Stands for a value, which is put together each time that NumPy asks for it.

    Args:
        section: Where the others hear of it.
        place: Of the value in it.
        value: As it lies.
    """

    def __init__(self, section: Section, place: int, value: jax.Array) -> None:
        self._section, self._place = section, place
        self.shape, self.dtype, self.ndim = value.shape, value.dtype, value.ndim

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self._section.read(self._place)
        return found if dtype is None else found.astype(dtype, copy=False)

    def __jax_array__(self) -> jax.Array:
        return jax.numpy.asarray(np.asarray(self))


def _name(number: int) -> str:
    return f"kerascale/read/{number}"
