"""The answer to a predict request, as rows or as columns.

Whole floats are written with `.0`; NaN, Infinity and -Infinity as these words.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from kerascale.serving.server.status import StatusError, invalid

_BYTES = "_bytes"


def write_outputs(arrays: Mapping[str, np.ndarray], *, rows: bool) -> bytes:
    """The body of an answer.

    Args:
        arrays: The outputs by name. One is written without its name.
        rows: Whether it has one element for each row of the first axis.

    Raises:
        StatusError: If the outputs have no rows, or unequally many, or cannot be
            written.
    """
    if not arrays:
        raise invalid("Cannot convert empty tensor map to JSON")
    if rows:
        _check_rows(arrays)
    values = {name: _plain(name, array) for name, array in sorted(arrays.items())}
    finite = all(map(_is_finite, values.values()))
    if not rows:
        return dump({"outputs": _single(values)}, finite=finite)
    if len(values) == 1:
        return dump({"predictions": _single(values)}, finite=finite)
    names = list(values)
    predictions = [
        dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)
    ]
    return dump({"predictions": predictions}, finite=finite)


def dump(document: Any, *, finite: bool = True) -> bytes:
    """A document as JSON.

    Args:
        document: Of dictionaries, lists, arrays and numbers of NumPy.
        finite: Whether all its numbers are; orjson would write `null` for another.
    """
    if finite:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    text = json.dumps(
        document, ensure_ascii=False, separators=(",", ":"), default=_listed
    )
    return text.encode("utf-8")


def _is_finite(value: Any) -> bool:
    is_float = isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f"
    return not is_float or bool(np.isfinite(value).all())


def _listed(value: Any) -> Any:
    """Lists of Python's own numbers, with as few digits as tell a float32."""
    if value.dtype == np.float32:
        value = value.astype(np.str_).astype(np.float64)
    return value.tolist()


def _single(values: Mapping[str, Any]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values


def _check_rows(arrays: Mapping[str, np.ndarray]) -> None:
    expected = None
    for name, array in sorted(arrays.items()):
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if expected is not None and len(array) != expected:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} "
                f"expecting: {expected}"
            )
        expected = len(array)


def _plain(name: str, array: np.ndarray) -> Any:
    """What can be written as it is."""
    kind = array.dtype.kind
    if kind == "O":
        return _texts(array.tolist(), name)
    if kind == "f" or array.dtype.name == "bfloat16":
        if array.dtype.itemsize < 4:
            array = array.astype(np.float32)
    elif kind not in "biu":
        raise invalid(
            f"Failed to write JSON value for tensor type: {array.dtype.name} ({name})"
        )
    # orjson takes numbers and arrays, and no array without dimensions.
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _texts(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_texts(element, name) for element in value]
    if name.endswith(_BYTES):
        return {"b64": base64.b64encode(value).decode("ascii")}
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Failed to write JSON value for tensor type: string ({name} holds bytes "
            f"that are no UTF-8; an output named {name}{_BYTES} is sent as base64)",
        ) from error
