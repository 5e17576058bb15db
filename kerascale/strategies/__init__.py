"""Where a model trains: `tf.distribute` strategies, clusters, memory of one host.

Importing it does not import TensorFlow: a cluster is looked at without it.
"""

import importlib
from typing import Any

__all__ = ["DEVICES", "NAMES", "describe", "get", "name_of"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kerascale.strategies' has no attribute {name!r}")
    return getattr(importlib.import_module("kerascale.strategies.select"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
