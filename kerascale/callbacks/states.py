"""The memory of callbacks, to be saved and given back.

A callback has a memory if it has `get_state()`, which returns plain values, and
`set_state(state)`. Keras' own are adapted here.
"""

from typing import Any

import keras
import numpy as np

from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError


def get_states(callbacks: list[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """What each callback remembers, with its class; None for nothing."""
    return [
        {"class": _name_of(callback), "state": _get(callback)} for callback in callbacks
    ]


def set_states(
    callbacks: list[keras.callbacks.Callback],
    saved: list[dict[str, Any]],
    *,
    all_of_them: bool = True,
) -> None:
    """Gives the callbacks back what they remembered, by class and order.

    Args:
        callbacks: Those of the run that goes on; new ones begin without a memory.
        saved: What `get_states` returned.
        all_of_them: Whether each memory must find its callback. A worker that is not
            the chief has fewer of them: it writes nothing.

    Raises:
        RefusedError: If a callback is missing.
    """
    waiting = [entry for entry in saved if entry["state"] is not None]
    for callback in callbacks:
        own = [e for e in waiting if _stable(e["class"]) == _name_of(callback)]
        if own:
            waiting.remove(own[0])
            _set(callback, own[0]["state"])
    if waiting and all_of_them:
        missing = ", ".join(entry["class"] for entry in waiting)
        raise RefusedError(
            f"callbacks: expected those of the saved run. Received: none for {missing}."
            " Pass the same ones, in the same order."
        )


def _name_of(callback: keras.callbacks.Callback) -> str:
    return _stable(f"{type(callback).__module__}.{type(callback).__qualname__}")


def _stable(name: str) -> str:
    """A class's name, whichever module of its package it stands in.

    Classes of kerascale and of Keras are found by their own name: their modules may
    move between versions. Checkpoints of version 0.1.0 have the whole path.
    """
    package, _, path = name.partition(".")
    if package in ("kerascale", "keras"):
        return f"{package}.{path.rpartition('.')[2]}"
    return name


def _get(callback: keras.callbacks.Callback) -> Any:
    if hasattr(callback, "get_state"):
        return callback.get_state()
    for kind, names in keras_private.CALLBACK_MEMORY.items():
        if isinstance(callback, kind):
            state = {
                n: _plain(getattr(callback, n)) for n in names if _has(callback, n)
            }
            weights = getattr(callback, "best_weights", None)
            if weights is not None:
                state["best_weights"] = [np.asarray(w).tolist() for w in weights]
            return state
    return None


def _set(callback: keras.callbacks.Callback, state: Any) -> None:
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name, value in state.items():
        if name == "best_weights":
            dtypes = [v.dtype for v in callback.model.variables[: len(value)]]
            value = [np.array(v, d) for v, d in zip(value, dtypes, strict=False)]
        setattr(callback, name, value)


def _has(callback: keras.callbacks.Callback, name: str) -> bool:
    return getattr(callback, name, None) is not None


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
