"""Commands that are to end well."""

import os
import subprocess
from collections.abc import Sequence

from ..checkpointing import VARIABLES
from ..contenders import TESTS, FailedError

_LAST_LINES = 4


def call(command: Sequence[str | os.PathLike]) -> None:
    """Runs a command, with this checkout's kerascale.

    Raises:
        FailedError: It fails; with its last lines.
    """
    finished = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
        env={**os.environ, **VARIABLES},
    )
    if finished.returncode:
        raise FailedError(last_lines(finished.stderr or finished.stdout))


def last_lines(text: str) -> str:
    """What a command said at the end."""
    return " / ".join(text.strip().splitlines()[-_LAST_LINES:])
