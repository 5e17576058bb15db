"""Variables that no process of a mesh has all of, put together in the host's memory."""

import contextlib
import importlib

import keras
import numpy as np

from kerascale.strategies import mesh_peers

# It needs JAX, and stands above this room.
_GATHERED = "kerascale.engine.mesh.gathered"


def array(variable: keras.Variable) -> np.ndarray:
    """All of a variable on the JAX backend. All processes of a mesh call it."""
    if mesh_peers.here().count == 1:
        return np.asarray(variable.value)
    return importlib.import_module(_GATHERED).array(variable)


def on_host(model: keras.Model) -> contextlib.AbstractContextManager[None]:
    """Within it each process has all variables of a model, to read and to assign.

    All processes of a mesh enter it, and leave it with the same values. With one
    process nothing is done.

    Args:
        model: Maybe on a mesh; its optimizer and its metrics too.
    """
    if mesh_peers.here().count == 1:
        return contextlib.nullcontext()
    return importlib.import_module(_GATHERED).on_host(model)
