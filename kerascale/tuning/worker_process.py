"""A process that trains one trial after the other, with TensorFlow imported once."""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from kerascale.launch.module_process import ModuleProcess

_MODULE = "kerascale.tuning.worker"


class Worker(ModuleProcess):
    """A process that takes jobs, one at a time.

    Args:
        lifeline: See `ModuleProcess`.
        log: The file that its messages go to until a job names another.
        environ: See `ModuleProcess`.
    """

    def __init__(
        self,
        lifeline: int,
        log: pathlib.Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(_MODULE, lifeline, log, environ)
        self._received = b""

    def fileno(self) -> int:
        return self.stdout.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a job, or an answer. To one that has ended nothing is sent."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(json.dumps(message).encode() + b"\n")
            self.stdin.flush()

    def received(self) -> list[dict[str, Any]] | None:
        """What it has said, once there is something; None: it has ended."""
        data = os.read(self.fileno(), 2**16)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]
