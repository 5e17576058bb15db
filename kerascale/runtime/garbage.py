"""Python's garbage collector, kept from looking through what stays anyway."""

import atexit
import contextlib
import functools
import gc
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator, Sequence

# Each makes some hundred thousand objects while it is imported, which all stay.
_LARGE = ("jax", "keras", "tensorflow")


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


def none_in_imports() -> None:
    """From now on none is looked for while Keras, TensorFlow or JAX is imported.

    Python would look through all that they have made again and again, 1.1 s of a start
    with JAX. What is there when one of them has been imported is set aside for good: of
    it, only what is still referred to in a circle when it is done with is lost. Nothing
    changes where the collector is turned off.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find; what is large is then executed without garbage."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _LARGE:
            return None
        for finder in sys.meta_path:
            spec = None
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                loader = spec.loader
                if loader is not None:
                    loader.exec_module = _without_garbage(loader.exec_module)
                return spec
        return None


def _without_garbage(
    execute: Callable[[types.ModuleType], None],
) -> Callable[[types.ModuleType], None]:
    @functools.wraps(execute)
    def executed(module: types.ModuleType) -> None:
        if not gc.isenabled():  # Within another of them, or by the user's choice.
            execute(module)
            return
        gc.disable()
        try:
            execute(module)
        finally:
            gc.enable()
        gc.freeze()

    return executed
