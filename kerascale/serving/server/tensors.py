"""Nested lists of JSON into arrays: quickly, or with a message that names the fault.

Both ways accept the same values. The quick one makes a few passes over all elements in
C; where it stops, the slow one walks through them to the first that is wrong.
"""

import base64
import binascii
import itertools
from typing import Any

import numpy as np

from kerascale.serving.server.documents import text_of, type_of
from kerascale.serving.server.dtypes import Kind
from kerascale.serving.server.status import StatusError, invalid

# NumPy's own limit.
_MOST_DIMENSIONS = 64


def to_array(value: Any, kind: Kind) -> np.ndarray:
    """An array of what a JSON value holds.

    Raises:
        StatusError: If its lists are uneven or an element is of another type.
    """
    found = _flatten(value)
    if found is not None:
        leaves, shape = found
        array = _convert(leaves, kind)
        if array is not None:
            return array.reshape(shape)
    shape = shape_of(value)
    leaves = []
    _walk(value, 0, shape, kind, leaves)
    return _array(leaves, kind).reshape(shape)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape that the first element of each list tells."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MOST_DIMENSIONS:
            raise invalid(
                f"Expecting a tensor of at most {_MOST_DIMENSIONS} dimensions but got "
                "more"
            )
        if not value:
            break
        value = value[0]
    return tuple(shape)


def is_base64(value: Any) -> bool:
    """Whether it is the object that stands for bytes: `{"b64": "..."}`."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and isinstance(value.get("b64"), str)
    )


def decode_base64(value: dict[str, str]) -> bytes:
    """The bytes of `{"b64": "..."}`; padding may be left out."""
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def encode_text(text: str) -> bytes:
    """A string as UTF-8."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:  # Half of a surrogate pair.
        raise invalid(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from error


def _flatten(value: Any) -> tuple[list[Any], tuple[int, ...]] | None:
    """All elements, and the shape; None if the lists are uneven."""
    if type(value) is not list:
        return [value], ()
    shape, level = [len(value)], value
    while level and type(level[0]) is list:
        size = len(level[0])
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        shape.append(size)
        if len(shape) > _MOST_DIMENSIONS:
            return None
        level = list(itertools.chain.from_iterable(level))
    return level, tuple(shape)


def _convert(leaves: list[Any], kind: Kind) -> np.ndarray | None:
    types = set(map(type, leaves))
    if not types <= kind.accepts:
        return None
    if kind.name == "bool":
        return np.array(leaves, np.bool_)
    if kind.name == "string":
        return _array([_to_bytes(leaf) for leaf in leaves], kind)
    low, high = kind.limits
    if not kind.is_float:
        if leaves and not (low <= min(leaves) and max(leaves) <= high):
            return None
        return np.array(leaves, kind.numpy)
    try:
        array = np.array(leaves, np.float64)
    except OverflowError:
        return None
    sizes = np.abs(array[np.isfinite(array)])
    largest = sizes.max(initial=0.0)
    if largest > high or (int in types and largest > kind.largest_integer):
        return None
    return array.astype(kind.numpy)


def _array(leaves: list[Any], kind: Kind) -> np.ndarray:
    """Elements that were looked at."""
    if kind.name == "string":
        array = np.empty(len(leaves), np.object_)
        array[:] = leaves
        return array
    return np.array(leaves, kind.numpy)


def _to_bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return encode_text(leaf)
    if not is_base64(leaf):
        raise invalid(
            f"JSON Value: {text_of(leaf)} not formatted correctly for base64 data"
        )
    return decode_base64(leaf)


def _walk(
    value: Any, level: int, shape: tuple[int, ...], kind: Kind, leaves: list[Any]
) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {text_of(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {rank}"
            )
        leaves.append(_element(value, kind))
        return
    if level >= rank:
        raise invalid(
            f"Encountered list at unexpected level: {level} expected < {rank}"
        )
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _walk(element, level + 1, shape, kind, leaves)


def _element(value: Any, kind: Kind) -> Any:
    if not kind.accepts:
        raise StatusError(
            "UNIMPLEMENTED",
            f"Conversion of JSON Value: {text_of(value)} to type: {kind.name}",
        )
    if type(value) not in kind.accepts:
        raise _type_error(value, kind)
    if kind.name == "string":
        return _to_bytes(value)
    if kind.is_float:
        return _float(value, kind)
    if kind.name != "bool" and not kind.limits[0] <= value <= kind.limits[1]:
        raise _type_error(value, kind)
    return value


def _float(value: float, kind: Kind) -> float:
    if isinstance(value, int):
        fits = abs(value) <= kind.largest_integer
    else:
        fits = not abs(value) > kind.limits[1] or abs(value) == float("inf")
    if not fits:
        raise invalid(
            f"Cannot convert JSON value: {text_of(value)} to {kind.name} without loss "
            "of precision."
        )
    return value


def _type_error(value: Any, kind: Kind) -> StatusError:
    return invalid(
        f"JSON Value: {text_of(value)} Type: {type_of(value)} is not of expected type: "
        f"{kind.name}"
    )
