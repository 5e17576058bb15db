"""What a mirror consists of: files by their content, and lists of them.

objects/SHA256                     a file's bytes; never changed
generations/STARTS-NUMBER-ID.json  which files a run had at one moment; put last

{"format": "kerascale-mirror", "version": 1, "run": "2026-11-30T10:01:17.731+00:00",
 "step": 40, "files": {"config.json": {"size": 812, "sha256": "..."}, ...}}

A list is one object, which is there as a whole or not at all, and is put when all that
it names is there. Its name begins with how often the run had been started: one that was
brought back and goes on elsewhere has more starts than the one that it was copied from,
so that the newest name is that of the run that went furthest, whoever writes last.
"""

import dataclasses
import json
import pathlib
import re
import uuid
from typing import Any

FORMAT = "kerascale-mirror"
VERSION = 1
OBJECTS, GENERATIONS = "objects", "generations"

_NAME = re.compile(r"(\d{6})-(\d{6})-[0-9a-f]{8}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class DamagedError(Exception):
    """A list that cannot be used. Its text is the reason."""


@dataclasses.dataclass(frozen=True)
class Generation:
    """The files of a run at one moment.

    Args:
        run: When the run was started first: no other run has it.
        step: Of its newest checkpoint.
        files: Path within the run folder -> size and sha256.
    """

    run: str
    step: int
    files: dict[str, tuple[int, str]]

    def encode(self) -> bytes:
        """The bytes of its list."""
        files = {
            name: {"size": size, "sha256": sha256}
            for name, (size, sha256) in sorted(self.files.items())
        }
        content = {"format": FORMAT, "version": VERSION, "run": self.run}
        content |= {"step": self.step, "files": files}
        return json.dumps(content, indent=2).encode() + b"\n"


def decode(data: bytes) -> Generation:
    """The other side of `Generation.encode`.

    Raises:
        DamagedError: If it is no such list, or names a file elsewhere.
    """
    try:
        content: dict[str, Any] = json.loads(data)
        known = (content["format"], content["version"])
        files = {
            name: (each["size"], each["sha256"])
            for name, each in content["files"].items()
        }
        found = Generation(content["run"], content["step"], files)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(f"not a list of a mirror ({error})") from error
    if known != (FORMAT, VERSION):
        raise DamagedError(f"expected {FORMAT} {VERSION}. Received: {known}")
    for name, (size, sha256) in files.items():
        parts = pathlib.PurePosixPath(name).parts
        is_inside = bool(parts) and not {"..", "/"} & set(parts) and "\0" not in name
        is_sum = isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None
        if not is_inside or type(size) is not int or not is_sum:
            raise DamagedError(f"it names {name!r:.80} of {size!r:.20} bytes")
    return found


def new_name(starts: int, number: int) -> str:
    """The name of a list that nobody else gives."""
    return f"{starts:06d}-{number:06d}-{uuid.uuid4().hex[:8]}.json"


def order_of(name: str) -> tuple[int, int] | None:
    """Starts and number of a list's name; None: it is no list's."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2]))
