"""The file state.json: the plain values of a checkpoint, and the table of its arrays.

Python's JSON is a little wider than the standard: NaN and the infinities are written
by name, so that a best value that is still infinite comes back.
"""

import json
from collections.abc import Mapping
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint.manifest import LARGEST_STATE
from kerascale.runs.layout import STATE
from kerascale.runtime.durable_files import DamagedError, parse_json


def encode(table: list[dict[str, Any]], values: Mapping[str, Any]) -> bytes:
    """The bytes of the file.

    Args:
        table: See `arrays.describe`.
        values: The plain values.

    Raises:
        RefusedError: If a value would not come back as it is.
    """
    try:
        _check(dict(values), "metadata")
        content = {"arrays": table, "metadata": dict(values)}
        data = json.dumps(content, check_circular=False).encode()
    except RecursionError:
        raise RefusedError(
            "metadata: expected values of a few levels. Received: too many, or one "
            "that holds itself. Flatten it."
        ) from None
    if len(data) > LARGEST_STATE:
        raise RefusedError(
            f"metadata: expected at most {LARGEST_STATE} bytes of JSON. Received: "
            f"{len(data)}. Pass large values as arrays."
        )
    return data


def decode(data: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The table and the values.

    Raises:
        DamagedError: If the file is not one of ours.
    """
    content = parse_json(data, STATE)
    table, values = content.get("arrays"), content.get("metadata")
    if not isinstance(table, list) or not isinstance(values, dict):
        raise DamagedError(f"{STATE} has no arrays or no metadata")
    for entry in table:
        if not isinstance(entry, dict) or set(entry) != {"name", "dtype", "shape"}:
            raise DamagedError(f"{STATE}: expected an array. Received: {entry!r:.80}")
    return table, values


def _check(value: Any, place: str) -> None:
    if value is None or isinstance(value, str | bool | int | float):
        return
    # A tuple would come back as a list.
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{place}[{index}]")
        return
    if not isinstance(value, dict):
        raise RefusedError(
            f"{place}: expected text, a number, a truth value, None, a list or a dict. "
            f"Received: {value!r:.80} of type {type(value).__name__}. Convert it, or "
            "pass it as an array."
        )
    for key, item in value.items():
        if not isinstance(key, str):
            raise RefusedError(
                f"{place}: expected text as keys. Received: {key!r:.80} of type "
                f"{type(key).__name__}. Convert it by str."
            )
        _check(item, f"{place}[{key!r:.40}]")
