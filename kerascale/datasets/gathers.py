"""How a batch comes out of example indices."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.datasets import at_exit, nests, resident

# Example indices (int64 [n]) and epoch (int64 scalar) -> a batch (x, y).
Gather = Callable[[tf.Tensor, tf.Tensor], tuple[Any, Any]]


_in_pipeline = contextvars.ContextVar("in_pipeline", default=False)


@contextlib.contextmanager
def for_pipeline() -> Iterator[None]:
    """Where a function of a `tf.data` pipeline is traced."""
    token = _in_pipeline.set(True)
    try:
        yield
    finally:
        _in_pipeline.reset(token)


def taken(tensors: Sequence[tf.Tensor], rows: tf.Tensor) -> list[tf.Tensor]:
    """Rows of tensors that may be of any size, files that are mapped among them.

    Where operations are deterministic, `tf.data` rewrites the graph of a pipeline, and
    copies all tensors in it; one of more than 2 GB ends the process. There NumPy takes
    the rows, which looks at the same memory.

    Args:
        tensors: Eager, on the CPU; the first axis is that of rows.
        rows: int64 of any shape.

    Returns:
        Of each tensor its rows, of shape (*rows.shape, ...).
    """
    if not _in_pipeline.get():
        return [tf.gather(tensor, rows) for tensor in tensors]
    arrays = [np.from_dlpack(tensor) for tensor in tensors]

    def take(rows: np.ndarray) -> list[np.ndarray]:
        return [np.take(array, rows, axis=0) for array in arrays]

    # With state it would run for one batch at a time.
    found = tf.numpy_function(
        at_exit.awaited(take),
        [rows],
        [tensor.dtype for tensor in tensors],
        stateful=False,
    )
    return [
        tf.ensure_shape(own, [*rows.shape, *tensor.shape[1:]])
        for own, tensor in zip(tf.nest.flatten(found), tensors, strict=True)
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class FromArrays:
    """Batches out of arrays in memory, by one gather for each array.

    Args:
        arrays: A nest of tensors, whose first axis is that of rows; None where a
            member is absent.
        index: int64 of shape (examples,): the row of each example; None: examples are
            the rows.
    """

    arrays: Any
    index: tf.Tensor | None = None

    is_traced_as_it_is = True

    def __call__(self, indices: tf.Tensor, epoch: tf.Tensor) -> Any:
        if self.is_in_memory:
            return self.rows(self.given, indices, epoch)
        (rows,) = taken([self.index], indices)
        found = taken(nests.flat(self.arrays), rows)
        places = iter(found)
        return nests.map_present(lambda _: next(places), self.arrays)

    @property
    def is_in_memory(self) -> bool:
        """Whether examples are the rows; those of packed data may not fit."""
        return self.index is None

    @property
    def given(self) -> tuple[Any, tf.Tensor | None]:
        """What `rows` takes of it."""
        return self.arrays, self.index

    @staticmethod
    def rows(given: Any, indices: tf.Tensor, epoch: tf.Tensor) -> Any:
        """The same, of any arrays and index."""
        del epoch
        arrays, index = given
        if index is not None:
            indices = tf.gather(index, indices)
        return nests.map_present(lambda t: tf.gather(t, indices), arrays)


def is_traced_as_it_is(gather: Gather) -> bool:
    """Whether a gather has no loops and conditions of Python on tensors."""
    return getattr(gather, "is_traced_as_it_is", False)


def traced_as_it_is(gather: Gather, *inner: Gather) -> Gather:
    """Says of a gather of ours that AutoGraph need not look at it.

    Args:
        gather: Without loops and conditions of Python on tensors.
        inner: What it calls. One of them that is a user's own may have some.
    """
    gather.is_traced_as_it_is = all(map(is_traced_as_it_is, inner))
    return gather


def gather_arrays(features: np.ndarray, labels: np.ndarray) -> Gather:
    """Batches out of arrays that are in memory, by one gather for each array.

    Args:
        features: Of shape (examples, ...).
        labels: Of shape (examples, ...).
    """
    return FromArrays((resident.tensor(features), resident.tensor(labels)))


def gather_windows(tokens: np.ndarray, length: int, *, shift: bool) -> Gather:
    """Windows of a long text: `length` tokens and, as labels, each one's successor.

    Window `i` begins at token `i * length`. With `shift`, all windows of an epoch
    begin 0 to `length - 1` tokens later, by a number that epochs cycle through, so
    that each token is seen at many places of a window.

    Args:
        tokens: int32 of shape (tokens,), at least `length + 1` of them.
        length: Tokens in a window.
        shift: Whether epochs have windows of their own.
    """
    with tf.device("CPU"):
        all_tokens = tf.constant(tokens)
    return windows_of(all_tokens, (0, len(tokens)), length, shift=shift)


def is_in_memory(gather: Gather) -> bool:
    """Whether it reads no file."""
    return getattr(gather, "is_in_memory", False)


def windows_of(
    tokens: tf.Tensor,
    part: tuple[int, int],
    length: int,
    *,
    shift: bool,
    is_mapped: bool = False,
) -> Gather:
    """The same of a part of the tokens.

    Args:
        tokens: Integers of shape (tokens,).
        part: Its first token, and the one behind its last.
        length: As in `gather_windows`.
        shift: As in `gather_windows`.
        is_mapped: Whether they are a file's; see `taken`.
    """
    return Windows(tokens, part, length, shift, is_mapped)


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """Windows of a text, and of each of their tokens the one that follows.

    Args: See `windows_of`.
    """

    tokens: tf.Tensor
    part: tuple[int, int]
    length: int
    shift: bool
    is_mapped: bool

    is_traced_as_it_is = True

    @property
    def is_in_memory(self) -> bool:
        return not self.is_mapped

    def __call__(self, indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        starts = self.starts(indices, epoch)
        places = starts[:, None] + tf.range(self.length + 1, dtype=tf.int64)
        (window,) = (
            taken([self.tokens], places)
            if self.is_mapped
            else [tf.gather(self.tokens, places)]
        )
        window = tf.cast(window, tf.int32)
        return window[:, :-1], window[:, 1:]

    def starts(self, indices: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """The first token of each window."""
        first, behind = self.part
        # The golden ratio spreads the shifts of any number of epochs evenly.
        stride = max(1, int(self.length * 0.618)) if self.shift else 0
        starts = first + indices * self.length + (epoch * stride) % self.length
        return tf.minimum(starts, behind - self.length - 1)


def num_windows(num_tokens: int, length: int) -> int:
    """Windows of `length` tokens with a successor each in so many tokens."""
    return (num_tokens - 1) // length
