"""Constraints that an update applies itself, before it writes a variable.

Keras reads a variable that was updated once more, and writes what its constraint makes
of it: that takes another buffer. Within an update the new value changes in place.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras

# Of each thread, as replicas are traced in threads of their own: the constraints that
# the update which is traced has applied, by `id`.
_here = threading.local()


class InUpdate(keras.constraints.Constraint):
    """A constraint that an update may apply; Keras does where it has not."""

    def constrained(self, value: Any) -> Any:
        """What a variable is to have.

        Args:
            value: Its new value.
        """
        raise NotImplementedError

    def __call__(self, value: Any) -> Any:
        value = keras.ops.convert_to_tensor(value)
        is_done = id(self) in getattr(_here, "applied", ())
        return value if is_done else self.constrained(value)


@contextlib.contextmanager
def one_update() -> Iterator[None]:
    """Within it, while an update is traced, what `of` was asked for is not repeated."""
    before = getattr(_here, "applied", ())
    _here.applied = set()
    try:
        yield
    finally:
        _here.applied = before


def of(variable: keras.Variable) -> Callable[[Any], Any] | None:
    """What an update is to apply to a new value; None: nothing.

    Args:
        variable: Of which it then must.
    """
    constraint = variable.constraint
    applied = getattr(_here, "applied", None)
    if not isinstance(constraint, InUpdate) or not isinstance(applied, set):
        return None
    applied.add(id(constraint))
    return constraint.constrained
