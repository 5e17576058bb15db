"""The tensors of a predict request, given as rows or as columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.serving.server.documents import format_error, text_of
from kerascale.serving.server.dtypes import Kind
from kerascale.serving.server.status import StatusError, invalid
from kerascale.serving.server.tensors import is_base64, to_array

_ROWS = "instances"
_COLUMNS = "inputs"


def read_inputs(
    document: dict[str, Any], kinds: Mapping[str, Kind]
) -> tuple[dict[str, np.ndarray], bool]:
    """The arrays of a predict request.

    Args:
        document: The request.
        kinds: The type of each input of the signature.

    Returns:
        An array for each input, and whether the request gave rows.

    Raises:
        StatusError: If the request does not fit the signature.
    """
    if _ROWS in document and _COLUMNS in document:
        raise format_error(
            document,
            f"Not formatted correctly expecting only one of '{_COLUMNS}' or '{_ROWS}' "
            "keys to exist ",
        )
    if _ROWS in document:
        rows = document[_ROWS]
        if not isinstance(rows, list):
            raise format_error(document, f"Excepting '{_ROWS}' to be an list/array")
        if not rows:
            raise format_error(document, f"No values in '{_ROWS}' array")
        return _from_rows(rows, kinds), True
    if _COLUMNS in document:
        return _from_columns(document[_COLUMNS], kinds), False
    raise invalid(f"Missing '{_COLUMNS}' or '{_ROWS}' key")


def _from_columns(value: Any, kinds: Mapping[str, Kind]) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or is_base64(value):
        if len(kinds) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {name: to_array(value, kind) for name, kind in kinds.items()}
    arrays = {}
    for name, kind in sorted(kinds.items()):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = to_array(value[name], kind)
    return arrays


def _from_rows(rows: list[Any], kinds: Mapping[str, Kind]) -> dict[str, np.ndarray]:
    named = _is_named(rows[0])
    if not named and len(kinds) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    try:
        if not named:
            ((name, kind),) = kinds.items()
            return {name: to_array(rows, kind)}
        if all(map(_is_named, rows)) and all(
            row.keys() == kinds.keys() for row in rows
        ):
            return {
                name: to_array([row[name] for row in rows], kind)
                for name, kind in sorted(kinds.items())
            }
    except StatusError:
        # Said again below, with the row and in the words of rows.
        pass
    return _row_by_row(rows, kinds, named)


def _row_by_row(
    rows: list[Any], kinds: Mapping[str, Kind], named: bool
) -> dict[str, np.ndarray]:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(
                f"Expecting {expected} but got {got} at item {number} of input list"
            )
        items = row.items() if named else [(next(iter(kinds)), row)]
        for name, value in items:
            try:
                _add(value, name, kinds, columns)
            except StatusError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {error.code}: {error.message}"
                ) from error
        if named and row.keys() != kinds.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON "
                f"object: {text_of(row)} keys must be equal to: "
                f"{','.join(sorted(kinds))}"
            )
    return {name: np.stack(arrays) for name, arrays in columns.items()}


def _add(
    value: Any,
    name: str,
    kinds: Mapping[str, Kind],
    columns: dict[str, list[np.ndarray]],
) -> None:
    if name not in kinds:
        raise invalid(f"JSON object: does not have named input: {name}")
    array = to_array(value, kinds[name])
    if columns[name]:
        first = columns[name][0]
        if array.size != first.size:
            raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
        if array.shape != first.shape:
            raise invalid(
                f"Expecting shape {_text(first.shape)} but got: {_text(array.shape)}"
            )
    columns[name].append(array)


def _is_named(row: Any) -> bool:
    return isinstance(row, dict) and not is_base64(row)


def _text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
