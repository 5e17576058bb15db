"""What the processes of a mesh give one another outside of the steps. All call it."""

import functools
import hashlib
import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from kerascale.engine.compat import jax_processes, keras_jax
from kerascale.strategies import mesh_peers

# As long as another process may compile, read or write. Whoever watches ends it before.
_SECONDS = 6 * 3600.0
# Of one look whether something was said.
_HEARING = 5.0
# After the end of the program here.
_PATIENCE = 60.0
_numbers = itertools.count()


def texts(own: bytes) -> list[bytes]:
    """What each process says, in their order; it waits for all."""
    number = next(_numbers)
    found = jax_processes.exchange(_name(number), own, _SECONDS)
    if number > 0:  # Who is here has read all of the one before.
        jax_processes.forget(_name(number - 1))
    return found


def _name(number: int) -> str:
    return f"kerascale/{number}"


def integers(own: Sequence[int]) -> np.ndarray:
    """int64 of shape (processes, integers)."""
    rows = texts(np.asarray(own, np.int64).tobytes())
    return np.stack([np.frombuffer(row, np.int64) for row in rows])


def whole(value: jax.Array) -> np.ndarray:
    """All of an array that is cut over the processes."""
    if value.is_fully_addressable or value.is_fully_replicated:
        return np.asarray(value)
    return np.asarray(_copied(value.sharding.mesh)(value))


@functools.lru_cache(maxsize=4)
def _copied(mesh: jax.sharding.Mesh) -> jax.stages.Wrapped:
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.jit(lambda value: value, out_shardings=whole)


def of_first(array: np.ndarray) -> np.ndarray:
    """The array of the first process; others pass one of its shape and dtype.

    It is sent bit by bit: sums of floating-point numbers lose the sign of zeros.
    """
    content = np.ascontiguousarray(array).tobytes()
    words = np.frombuffer(content + b"\0" * (-len(content) % 4), np.uint32)
    words = multihost_utils.broadcast_one_to_all(words)
    content = np.asarray(words).tobytes()[: len(content)]
    return np.frombuffer(content, array.dtype).reshape(array.shape)


class Peers:
    """How processes of a mesh save together; see `runs.checkpoint.Peers`.

    Any thread may wait: nothing of it is a message of the main one's.
    """

    def __init__(self) -> None:
        here = mesh_peers.here()
        self.count, self.index = here.count, here.index
        self.saves = itertools.count()

    def say(self, name: str, text: str) -> None:
        """Tells all others something under a name that was not used before."""
        jax_processes.say(name, text.encode())

    def hear(self, name: str, *, may_never_come: bool = False) -> str:
        """What somebody says under a name; waits for it."""
        ended = None
        while (found := jax_processes.hear(name, _HEARING)) is None:
            # It has failed here, and the others may never come so far.
            if may_never_come and not threading.main_thread().is_alive():
                ended = ended or time.monotonic()
                if time.monotonic() - ended > _PATIENCE:
                    raise RuntimeError(f"{name}: it was not said")
        return found.decode()

    def forget(self, name: str) -> None:
        """All has been heard that was said under names that begin so."""
        jax_processes.forget_all(name)


@functools.lru_cache(maxsize=1)
def peers() -> Peers:
    """Those of this process: the numbers of saves go on."""
    return Peers()


def fill(variable: keras.Variable, array: Any) -> None:
    """Gives a variable the elements of an array that each process can read.

    Args:
        variable: Laid out, or in the memory of the host.
        array: Of its shape; its `[index]` is asked for what devices of this process
            have.
    """
    dtype = jnp.dtype(variable.dtype)
    keras_jax.read_array(
        variable,
        lambda index: np.asarray(array[index]).astype(dtype, copy=False),
    )


def give(variable: keras.Variable, array: np.ndarray | None) -> None:
    """Gives a variable, on all processes, what the first one has for it.

    Args:
        variable: Laid out, or in the memory of the host.
        array: Of its shape; None on another process.
    """
    dtype = jnp.dtype(variable.dtype)
    if array is None:
        array = np.zeros(variable.shape, dtype)
    array = of_first(np.asarray(array).astype(dtype, copy=False))
    keras_jax.put_array(variable, array)


def take_from_first(variables: Sequence[keras.Variable]) -> None:
    """Gives variables that are laid out nowhere the values of the first process.

    Those that were drawn from the same seeds are the same, and are not sent.
    """
    if mesh_peers.here().count == 1 or not variables:
        return
    digest = hashlib.sha256()
    arrays = [np.asarray(value) for value in keras_jax.values_of(variables)]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    if len(set(texts(digest.digest()))) > 1:
        for variable, array in zip(variables, arrays, strict=True):
            give(variable, array)
