"""A Python process that runs one of our modules, and is talked to through pipes."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import IO

from kerascale.launch import starter

# For one that has no more jobs to end by itself.
_END_SECONDS = 5.0


def environment() -> dict[str, str]:
    """The environment of a process that trains alone.

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


class ModuleProcess:
    """A process of its own session that runs a module.

    It ends with this process, however that ends: see `kerascale.launch.starter`.

    Args:
        module: What is run, as `python -m` takes it.
        lifeline: A pipe's read end; the process is killed when the other end closes.
        log: The file that its messages are appended to.
        environ: Its environment; None: see `environment`.
    """

    def __init__(
        self,
        module: str,
        lifeline: int,
        log: pathlib.Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        # Modules are found where this process finds them: a folder of the user's must
        # not hide one that has its name.
        flags = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
        command = [sys.executable, *flags, "-m", module]
        with log.open("ab") as messages:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", starter.__file__, str(lifeline), *command],
                env=dict(environment() if environ is None else environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                pass_fds=(lifeline,),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The number of the process, and of its group."""
        return self._popen.pid

    @property
    def stdin(self) -> IO[bytes]:
        """What it reads, once it is flushed."""
        return self._popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes."""
        return self._popen.stdout

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._popen.poll() is not None

    def stop(self) -> None:
        """Asks it to save its state, and to end its job."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kills it, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> str:
        """Kills what is left of it, and says how it ended."""
        with contextlib.suppress(OSError):
            self.stdin.close()  # There are no more jobs.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_END_SECONDS)
        self.kill()
        code = self._popen.wait()
        with contextlib.suppress(OSError):
            self.stdout.close()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"
