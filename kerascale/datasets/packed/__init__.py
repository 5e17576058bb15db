"""Packed data sets: a folder of rows that are read by index, whatever their number.

`kerascale.datasets.packed("birds.packed", config)` is `from_packed`: the name of the
function is that of this package, so it can be called.
"""

import sys
import types
from typing import Any


class _Callable(types.ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from kerascale.datasets.packed.training import from_packed

        return from_packed(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable

# As a name of `kerascale.datasets`.
packed = sys.modules[__name__]
