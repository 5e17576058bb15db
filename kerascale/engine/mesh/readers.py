"""Callbacks that may read or assign weights at the end of an epoch.

One says `reads_weights = False` if it does not, or does it on the first process alone.
"""

from collections.abc import Iterable

import keras

from kerascale.engine import state
from kerascale.engine.collectives import consensus

# Of Keras, those that do not.
_READ_NOTHING = (
    keras.callbacks.CSVLogger,
    keras.callbacks.History,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.TerminateOnNaN,
)


def are_there(
    model: keras.Model, callbacks: Iterable[keras.callbacks.Callback]
) -> bool:
    """Whether each process needs all of a model at the end of an epoch. All call it.

    kerascale's own read on the first process alone, one variable after the other.

    Args:
        model: Maybe cut over processes.
        callbacks: Those of this process.
    """
    if not state.is_cut(model):
        return True
    own = int(any(_reads(callback) for callback in callbacks))
    return bool(consensus.gather(model.distribute_strategy, [own]).any())


def _reads(callback: keras.callbacks.Callback) -> bool:
    told = getattr(callback, "reads_weights", None)
    if told is not None:
        return told
    kind = type(callback)
    if kind is keras.callbacks.EarlyStopping:
        return callback.restore_best_weights
    is_ours = kind.__module__.partition(".")[0] == "kerascale"
    return not is_ours and kind not in _READ_NOTHING
