"""What JSON may stand for a tensor's element, for each type that has a JSON form."""

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np

# Significant bits of a float that an integer in JSON must fit into.
_DIGITS = {"float": 24, "double": 53, "half": 11, "bfloat16": 8}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of element.

    Args:
        name: TensorFlow's name in messages, such as `float`.
        numpy: The type of the array that TensorFlow takes.
        accepts: Python's types of what JSON holds; a bool is no number here.
    """

    name: str
    numpy: Any
    accepts: frozenset[type] = frozenset()

    @property
    def is_float(self) -> bool:
        return self.name in _DIGITS

    @property
    def largest_integer(self) -> int:
        """The largest integer that is taken for a float without loss."""
        return 2 ** _DIGITS[self.name] - 1

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest finite value."""
        if self.is_float:
            information = ml_dtypes.finfo(self.numpy)
            return float(information.min), float(information.max)
        information = np.iinfo(self.numpy)
        return int(information.min), int(information.max)


_NUMBERS = frozenset((int, float))
_INTEGERS = frozenset((int,))

_KINDS = {
    "DT_FLOAT": Kind("float", np.float32, _NUMBERS),
    "DT_DOUBLE": Kind("double", np.float64, _NUMBERS),
    "DT_HALF": Kind("half", np.float16, _NUMBERS),
    "DT_BFLOAT16": Kind("bfloat16", ml_dtypes.bfloat16, _NUMBERS),
    "DT_INT8": Kind("int8", np.int8, _INTEGERS),
    "DT_INT16": Kind("int16", np.int16, _INTEGERS),
    "DT_INT32": Kind("int32", np.int32, _INTEGERS),
    "DT_INT64": Kind("int64", np.int64, _INTEGERS),
    "DT_UINT8": Kind("uint8", np.uint8, _INTEGERS),
    "DT_UINT16": Kind("uint16", np.uint16, _INTEGERS),
    "DT_UINT32": Kind("uint32", np.uint32, _INTEGERS),
    "DT_UINT64": Kind("uint64", np.uint64, _INTEGERS),
    "DT_BOOL": Kind("bool", np.bool_, frozenset((bool,))),
    "DT_STRING": Kind("string", np.object_, frozenset((str, dict))),
}


def kind_of(name: str) -> Kind:
    """The kind of a type's name in a SavedModel; one that accepts nothing if JSON
    has no form for it."""
    known = _KINDS.get(name)
    return known or Kind(name.removeprefix("DT_").lower(), np.object_)
