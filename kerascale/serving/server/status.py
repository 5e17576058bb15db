"""How a request ended: the code of an error, its message, the number in HTTP."""

from typing import Any

# TensorFlow's codes, in the order of their numbers, and what HTTP has for each.
_CODES = (
    ("OK", 200),
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
)
_HTTP = dict(_CODES)
# What stands around the sentence that tells a client something.
_PREAMBLE = "<stack traces unavailable>"
_NODE = "\n\t [[{{node"
_OPERATION = " [Op:"


class StatusError(Exception):
    """A request that is answered with an error.

    Args:
        code: The name of a status, such as `INVALID_ARGUMENT`.
        message: What the client is told.
        http: The number in HTTP; None: what belongs to the code.
    """

    def __init__(self, code: str, message: str, *, http: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http = _HTTP[code] if http is None else http


def invalid(message: str) -> StatusError:
    """What most errors are: the request is not as it should be."""
    return StatusError("INVALID_ARGUMENT", message)


def from_tensorflow(error: Any) -> StatusError:
    """The status of a `tf.errors.OpError`, without the stack of the server's code."""
    number = error.error_code or 2
    code = _CODES[number][0] if number < len(_CODES) else "UNKNOWN"
    message = str(error.message)
    if _PREAMBLE in message:
        message = message.rpartition(_PREAMBLE)[2]
    for mark in (_NODE, _OPERATION):
        message = message.partition(mark)[0]
    return StatusError(code, message.strip() or type(error).__name__)
