"""The memory of callbacks, to be saved and given back.

A callback has a memory if it has `get_state()`, which returns plain values, and
`set_state(state)`. Keras' own are adapted here.
"""

from typing import Any

import keras
import numpy as np

from kerascale.errors import RefusedError

# Keras' callback -> the attributes in which it remembers.
_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "epochs_since_last_save",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
}


def get_states(callbacks: list[keras.callbacks.Callback]) -> list[Any]:
    """What each callback remembers; None for one that remembers nothing."""
    return [_get(callback) for callback in callbacks]


def set_states(callbacks: list[keras.callbacks.Callback], states: list[Any]) -> None:
    """Gives the callbacks back what they remembered."""
    if len(states) != len(callbacks):
        raise RefusedError(
            f"callbacks: expected the {len(states)} of the saved run. Received: "
            f"{len(callbacks)}. Pass the same ones, in the same order."
        )
    for callback, state in zip(callbacks, states, strict=True):
        if state is not None:
            _set(callback, state)


def _get(callback: keras.callbacks.Callback) -> Any:
    if hasattr(callback, "get_state"):
        return callback.get_state()
    for kind, names in _ATTRIBUTES.items():
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
