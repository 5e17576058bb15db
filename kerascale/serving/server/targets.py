"""What a request asks for, by its method and path."""

import dataclasses
import re
import urllib.parse

from kerascale.serving.server.status import StatusError, invalid

PREDICT, CLASSIFY, REGRESS = "predict", "classify", "regress"
STATUS, METADATA = "status", "metadata"

_WHICH = r"(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?"
_POST = re.compile(rf"/v1/models/([^/:]+){_WHICH}:(classify|regress|predict)", re.I)
_GET = re.compile(rf"/v1/models(?:/([^/:]+))?{_WHICH}(?:/(metadata))?", re.I)


@dataclasses.dataclass(frozen=True)
class Target:
    """A model, one of its versions by number or label (neither: the latest), and what
    is to be done."""

    action: str
    model: str
    version: int | None
    label: str | None


def parse_target(method: str, path: str) -> Target:
    """The target of a request.

    Args:
        method: The method of HTTP.
        path: The path as it was sent, percent-encoded, without a query.

    Raises:
        StatusError: If it is none that the server knows.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise malformed(method, path)
    model, version, label, action = match.groups()
    if method == "GET":
        if not model:
            raise invalid("Missing model name in request.")
        action = action or STATUS
    if version is not None and int(version[:20]) >= 2**63:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return Target(
        action.lower(),
        urllib.parse.unquote(model, errors="replace"),
        None if version is None else int(version),
        None if label is None else urllib.parse.unquote(label, errors="replace"),
    )


def malformed(method: str, path: str) -> StatusError:
    """The error for a path that matches nothing."""
    return invalid(f"Malformed request: {method} {path}")
