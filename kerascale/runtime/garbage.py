"""Python's garbage collector, kept from looking through what stays anyway."""

import atexit
import contextlib
import functools
import gc
import importlib.abc
import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence

# Each makes some hundred thousand objects while it is imported, which all stay.
_LARGE = ("jax", "keras", "tensorflow")


@contextlib.contextmanager
def only_of_new_objects() -> Iterator[None]:
    """Within it garbage is looked for among new objects alone.

    What a process has loaded by then, TensorFlow above all, takes longer to look
    through than what is done within. Where objects are set aside already, as after
    `none_in_imports`, nothing is done: who did so would not get them back.
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

    Python would look through all that they have made again and again: 0.6 s of a start
    on TensorFlow, 1 s on JAX. What is there behind the first such import is set aside
    for good. It is freed as before when nothing refers to it; only circles among it are
    not found any more. On JAX, TensorFlow may come when a user has made models: what is
    there then is set aside until `find_all_again`. Nothing changes where the collector
    is turned off, or somebody else has set objects aside.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def find_all_again() -> None:
    """Behind a start: circles are found among all objects, if some may be a user's."""
    if _aside.for_now:
        gc.unfreeze()
        _aside.for_now = False


class _Aside:
    """What imports have set aside."""

    # Whether they have; whether a user's objects may be among it.
    anything = False
    for_now = False

    def take(self) -> None:
        """Sets aside what is there behind an import, where it may be."""
        if self.anything:  # A user's code may have run since the first one.
            if os.environ.get("KERAS_BACKEND") != "jax":
                return
            self.for_now = True
        elif gc.get_freeze_count():
            return
        self.anything = True
        gc.freeze()


_aside = _Aside()


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
        _aside.take()

    return executed
