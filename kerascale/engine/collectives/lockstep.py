"""Replicas that exist in threads only: sums meet as those of real replicas do.

A step can be tried as if it ran on several replicas, eagerly and without a strategy:
each thread computes a slice, and waits where replicas would communicate.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

# A thread that computes something else than the others never comes.
_LIMIT_SECONDS = 600.0

_here = threading.local()


class OutOfStep(Exception):
    """The slices of a batch communicate at different places."""


class Group:
    """Threads that stand for replicas.

    Args:
        size: How many there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size)
        self._given: list[Any] = [None] * size

    def run(self, functions: Sequence[Callable[[], Any]]) -> list[Any]:
        """Calls each function in a thread of its own.

        Args:
            functions: One for each member.

        Returns:
            What they returned.

        Raises:
            Exception: What the first of them raised.
        """
        results: list[Any] = [None] * self.size
        errors: list[BaseException] = []

        def work(member: int) -> None:
            try:
                with _as_member(self, member):
                    results[member] = functions[member]()
            except threading.BrokenBarrierError:
                errors.append(OutOfStep())
            except BaseException as error:  # Raised in the caller's thread.
                errors.insert(0, error)
            finally:
                if errors:
                    self._barrier.abort()

        threads = [
            threading.Thread(target=work, args=(member,), daemon=True)
            for member in range(self.size)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results

    def exchange(self, member: int, value: Any) -> list[Any]:
        """What every member has given at this place."""
        self._given[member] = value
        self._barrier.wait(_LIMIT_SECONDS)
        given = list(self._given)
        self._barrier.wait(_LIMIT_SECONDS)
        return given


@contextlib.contextmanager
def _as_member(group: Group, member: int) -> Iterator[None]:
    _here.member = (group, member)
    try:
        yield
    finally:
        _here.member = None


def current() -> tuple[Group, int] | None:
    """The group of this thread and its number in it; None: replicas are real."""
    return getattr(_here, "member", None)


def total(tensors: Sequence[Any]) -> list[Any]:
    """The sum of each tensor over all members; rows of sparse ones are joined."""
    group, member = current()
    given = group.exchange(member, list(tensors))
    return [add_up(each) for each in zip(*given, strict=True)]


def add_up(tensors: Sequence[Any]) -> Any:
    """The sum of tensors; of sparse ones, all rows in the order of one device."""
    if not isinstance(tensors[0], tf.IndexedSlices):
        return tf.add_n(list(tensors))
    return tf.IndexedSlices(
        tf.concat([t.values for t in tensors], 0),
        tf.concat([t.indices for t in tensors], 0),
        tensors[0].dense_shape,
    )
