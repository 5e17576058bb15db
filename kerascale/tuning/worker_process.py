"""A process that trains one trial after the other, with TensorFlow imported once."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from kerascale.launch import starter

_MODULE = "kerascale.tuning.worker"
# For one that has no more jobs to end by itself.
_END_SECONDS = 5.0


def environment() -> dict[str, str]:
    """The environment of a worker that trains alone.

    So it does, though the command that has started it be one of many tasks.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        if name != "TF_CONFIG" and not name.startswith("SLURM_")
    }
    environ["KERASCALE_PROGRESS"] = "off"
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return environ


class Worker:
    """A process that takes jobs, one at a time.

    It ends with this process, however that ends: see `kerascale.launch.starter`.

    Args:
        lifeline: A pipe's read end; the worker is killed when the other end closes.
        log: The file that its messages go to until a job names another.
        environ: Its environment; None: see `environment`.
    """

    def __init__(
        self,
        lifeline: int,
        log: pathlib.Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        # Modules are found where this process finds them: a folder of the user's must
        # not hide one that has its name.
        flags = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
        command = [sys.executable, *flags, "-m", _MODULE]
        with log.open("ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", starter.__file__, str(lifeline), *command],
                env=dict(environment() if environ is None else environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                pass_fds=(lifeline,),
                start_new_session=True,
                bufsize=0,
            )
        self._received = b""

    def fileno(self) -> int:
        return self._process.stdout.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a job, or an answer. To one that has ended nothing is sent."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def received(self) -> list[dict[str, Any]] | None:
        """What it has said, once there is something; None: it has ended."""
        data = os.read(self.fileno(), 2**16)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        """Asks it to save its state and to end its job."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    def end(self) -> str:
        """Kills what is left of it, and says how it ended."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # There are no more jobs.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"
