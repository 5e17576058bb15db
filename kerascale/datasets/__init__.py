"""Data sets: where examples come from, and the order in which they are seen.

Importing it does not import TensorFlow; a name that needs TensorFlow does.
"""

import importlib
from typing import Any

# Public name -> module that has it.
_PUBLIC = {
    "Batches": "pipeline",
    "DataInfo": "info",
    "Datasets": "bundle",
    "RawData": "raw",
    "Split": "raw",
    "Stream": "stream",
    "from_arrays": "from_python",
    "from_config": "loading",
    "from_indexed": "indexed",
    "from_packed": "packed.training",
    "from_tf_data": "bundle",
    "packed": "packed",
    "prepare": "loading",
    "read": "reading",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerascale.datasets' has no attribute {name!r}")
    module = importlib.import_module(f"kerascale.datasets.{_PUBLIC[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
