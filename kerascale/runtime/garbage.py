"""Python's garbage collector, kept from looking through what stays anyway."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def only_of_new_objects() -> Iterator[None]:
    """Within it garbage is looked for among new objects alone.

    What a process has loaded by then, TensorFlow above all, takes longer to look
    through than what is done within. Where somebody else has set objects aside already,
    nothing is done: they would not get theirs back.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
