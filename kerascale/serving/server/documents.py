"""A request's body as a JSON document, with RapidJSON's words for what is wrong."""

import json
from typing import Any

import orjson

from kerascale.serving.server.status import StatusError, invalid

# What Python's parser says -> what a client of TF Serving reads. A comma that is
# missing is told by what was open.
_PHRASES = (
    ("Expecting value", "Invalid value."),
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma", "Missing a name for object member."),
    ("Expecting ':'", "Missing a colon after a name of object member."),
    ("Extra data", "The document root must not be followed by other values."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid control character", "Invalid encoding in string."),
    ("Invalid \\u", "Incorrect hex digit after \\u escape in string."),
    ("Invalid \\", "Invalid escape character in string."),
    ("Expecting ','", "Missing a comma or ] or } after an element."),
)
_LONGEST = 1000


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; NaN, Infinity and -Infinity are numbers.

    Raises:
        StatusError: If it is none.
    """
    if not body:
        raise _parse_error("The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Slower, but it knows the numbers that JSON does not have, and where it
        # stopped.
        document = _parse_slowly(body)
    if not isinstance(document, dict):
        raise format_error(document, "Is not object")
    return document


def _parse_slowly(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _parse_error("Invalid encoding in string.", error.start) from error
    if not text.strip():
        raise _parse_error("The document is empty.", len(body))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        phrase = next((ours for its, ours in _PHRASES if error.msg.startswith(its)), "")
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        raise _parse_error(phrase or f"{error.msg}.", offset) from error
    except RecursionError as error:
        raise _parse_error("The document is nested too deeply.", 0) from error
    except ValueError as error:  # An integer of thousands of digits.
        raise _parse_error("Number too big to be stored in double.", 0) from error


def _parse_error(phrase: str, offset: int | None = None) -> StatusError:
    where = "" if offset is None else f" at offset: {offset}"
    return invalid(f"JSON Parse error: {phrase}{where}")


def format_error(value: Any, what: str) -> StatusError:
    """The error for a value that has another form than was expected."""
    return invalid(f"JSON Value: {text_of(value)} {what}")


def text_of(value: Any) -> str:
    """A value as JSON, for a message; of a long one the beginning."""
    try:
        text = json.dumps(value, indent=4, ensure_ascii=False)
    except RecursionError:
        return "..."
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def type_of(value: Any) -> str:
    """The name of a value's type, as RapidJSON has it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a request names; empty if it names none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {text_of(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name
