"""Variables that no process of a mesh has all of: put together, or its parts."""

import contextlib
import importlib
from collections.abc import Sequence

import keras
import numpy as np

from kerascale.runtime.array_parts import ArrayParts
from kerascale.strategies import mesh_peers

# It needs JAX, and stands above this room.
_GATHERED = "kerascale.engine.mesh.gathered"


def array(variable: keras.Variable) -> np.ndarray:
    """All of a variable on the JAX backend. All processes of a mesh call it."""
    if mesh_peers.here().count == 1:
        return np.asarray(variable.value)
    return importlib.import_module(_GATHERED).array(variable)


def are_cut(variables: Sequence[keras.Variable]) -> bool:
    """Whether the first process of a mesh lacks a part of any variable."""
    if mesh_peers.here().count == 1:
        return False
    return importlib.import_module(_GATHERED).are_cut(variables)


def parts(variable: keras.Variable) -> ArrayParts | None:
    """What this process saves of a variable; None: the first one has all of it."""
    if mesh_peers.here().count == 1:
        return None
    return importlib.import_module(_GATHERED).parts(variable)


def end_reading() -> None:
    """Called before a message to all, in an `on_host` of the first process alone."""
    if mesh_peers.here().count > 1:
        importlib.import_module(_GATHERED).end_reading()


def on_host(
    model: keras.Model, *, by_all: bool = True
) -> contextlib.AbstractContextManager[None]:
    """Within it each process has all variables of a model, to read and to assign.

    All processes of a mesh enter it, and leave it with the same values. With one
    process nothing is done.

    Args:
        model: Maybe on a mesh; its optimizer and its metrics too.
        by_all: Else the first process alone has what is cut over processes, to read:
            it is put together when it is read, one variable after the other. The
            others wait where they enter, until it leaves or sends them a message.
    """
    if mesh_peers.here().count == 1:
        return contextlib.nullcontext()
    return importlib.import_module(_GATHERED).on_host(model, by_all=by_all)
