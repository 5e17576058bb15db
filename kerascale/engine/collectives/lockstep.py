"""Replicas that exist in threads only: sums meet as those of real replicas do.

A step can be tried as if it ran on several replicas, eagerly and without a strategy:
each thread computes a slice, and waits where replicas would communicate.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

_here = threading.local()


class OutOfStep(Exception):
    """The slices of a batch communicate at different places."""


class Group:
    """Threads that stand for replicas.

    One runs at a time, from one place where they communicate to the next, as those of
    `MirroredStrategy` do: what a layer keeps in Python is not written by two at once.

    Args:
        size: How many there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._turns = threading.Condition()
        self._turn = 0
        # Places that each member has come to, and who comes to no more.
        self._places = [0] * size
        self._ended = [False] * size
        self._given: list[Any] = [None] * size
        self._exchanged: list[Any] = []

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
                self._await_turn(member)
                if errors:
                    return
                with _as_member(self, member):
                    results[member] = functions[member]()
            except BaseException as error:  # Raised in the caller's thread.
                errors.append(error)
            finally:
                self._ended[member] = True
                self._pass_on(member)

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
        """What every member has given at this place.

        Raises:
            OutOfStep: Another member does not come to it.
        """
        self._given[member] = value
        self._places[member] += 1
        if member == self.size - 1:
            self._exchanged = list(self._given)
        self._pass_on(member)
        self._await_turn(member)
        for ended, places in zip(self._ended, self._places, strict=True):
            if ended and places < self._places[member]:
                raise OutOfStep
        return self._exchanged

    def _await_turn(self, member: int) -> None:
        with self._turns:
            self._turns.wait_for(lambda: self._turn == member)

    def _pass_on(self, member: int) -> None:
        others = [(member + 1 + n) % self.size for n in range(self.size)]
        with self._turns:
            self._turn = next((m for m in others if not self._ended[m]), member)
            self._turns.notify_all()


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
