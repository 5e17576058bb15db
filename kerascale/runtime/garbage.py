"""Python's garbage collector, kept from looking through what stays anyway."""

import atexit
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


def none_at_exit() -> None:
    """At this process's end no garbage is looked for: the system takes all of it.

    Where TensorFlow and Keras are loaded that takes 0.7 s of processor time.
    """
    atexit.register(gc.freeze)
