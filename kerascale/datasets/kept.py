"""Data that was made for a training, kept for the next one that reads the same.

A search trains on the same examples again and again; reading a table and encoding it
takes as long as some epochs. A process that only trains one trial after the other says
`keep()`; in others nothing is kept.
"""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import keras

from kerascale.config import ImageConfig
from kerascale.datasets.bundle import Datasets
from kerascale.runtime.console import say

# Fields that no data depends on. One that is not here is taken to decide the data.
_OF_TRAINING = frozenset(
    (
        *("epochs", "max_steps", "optimizer", "learning_rate", "momentum"),
        *("weight_decay", "schedule", "decay_rate", "decay_epochs", "warmup_epochs"),
        *("initializer", "l1", "l2", "dropout", "max_norm", "weight_clip", "clipnorm"),
        *("global_clipnorm", "clipvalue", "early_stopping_patience"),
        *("prune", "prune_structure", "prune_begin", "prune_end"),
        *("quantize_aware", "quantize_begin", "steps_per_execution", "execution"),
        *("monitor", "monitor_mode", "all_reduce_dtype"),
    )
)
# Of a recipe's own fields, those that `from_config` reads.
_OF_RECIPES = ("vocabulary_size", "max_length", "tokenizer")
_NAMES = [
    *(f.name for f in dataclasses.fields(ImageConfig) if f.name not in _OF_TRAINING),
    *_OF_RECIPES,
]
# Kept in all; what is larger than that is not.
_MOST_BYTES = 2**29
_MOST = 8

_kept: dict[Any, tuple[int, Datasets]] | None = None


def keep() -> None:
    """From now on this process keeps the data that it makes."""
    global _kept
    _kept = {} if _kept is None else _kept


def forget() -> None:
    """Nothing is kept any more."""
    global _kept
    _kept = None


def get(config: Any, asked: Any, make: Callable[[], Datasets]) -> Datasets:
    """The data of a configuration: what was kept, or what is made now.

    Args:
        config: A recipe's.
        asked: What else decides it, such as the kinds that a model takes.
        make: Makes it.
    """
    if _kept is None:
        return make()
    stamps = _stamps(config)
    if stamps is None:
        return make()
    fields = [repr(getattr(config, name, None)) for name in _NAMES]
    key = (*fields, repr(asked), stamps, keras.config.floatx())
    if key in _kept:
        _kept[key] = _kept.pop(key)  # The last that was used goes last.
        say("data: kept from a training before this one")
        return _kept[key][1]
    made = make()
    _kept[key] = (_bytes(made), made)
    while len(_kept) > _MOST or sum(size for size, _ in _kept.values()) > _MOST_BYTES:
        del _kept[next(iter(_kept))]
    return made


def _stamps(config: Any) -> tuple[Any, ...] | None:
    """What changes when a file does; None: there are several, or it is not known."""
    found = []
    for name in (config.dataset, config.test_data, *config.columns):
        prefix, _, path = (name or "").rpartition(":")
        path = os.path.expanduser(path)
        if prefix in ("", "tfds") and not os.path.isfile(path):
            found.append(None)  # Shipped, or a column's name.
        elif os.path.isfile(path):
            stat = os.stat(path)
            found.append((stat.st_mtime_ns, stat.st_size))
        else:
            return None
    return tuple(found)


def _bytes(datasets: Datasets) -> int:
    """About what the examples need."""
    size = math.prod(each or 256 for each in datasets.info.input_shape)
    return 4 * size * sum(datasets.num_examples.values())
