"""One worker: a process with its whole tree, and how it ended."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from kerascale.launch import starter
from kerascale.runtime import heartbeat

# For a process that was stopped to write its stacks.
_STACKS_SECONDS = 0.1


class Worker:
    """A process that leads a session of its own, so that its tree has one handle.

    Args:
        index: Its rank.
        command: What it runs.
        environ: Its environment.
        lifeline: A pipe's read end; the worker is killed when the other end closes.
        stdout: Its standard output, as `subprocess.Popen` takes it.
    """

    def __init__(
        self,
        index: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        lifeline: int,
        stdout: IO[Any] | int | None,
    ) -> None:
        self.index = index
        self.name = f"worker {index}"
        # None while it runs; -N if signal N ended it.
        self.code: int | None = None
        # What the launcher did to it: a signal's number.
        self.stopped_by: int | None = None
        # Why the launcher took it for stuck.
        self.stuck: str | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", starter.__file__, str(lifeline), *command],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            pass_fds=(lifeline,),
            start_new_session=True,
            bufsize=0,
        )

    @property
    def running(self) -> bool:
        return self.code is None

    def look(self) -> bool:
        """Looks whether it has ended. True on the one call that sees it end.

        The ended process is not collected: as long as it is there, its id, which
        is that of its process group, belongs to nobody else.
        """
        if not self.running:
            return False
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        found = os.waitid(os.P_PID, self.process.pid, flags)
        if found is None:
            return False
        by_itself = found.si_code == os.CLD_EXITED
        self.code = found.si_status if by_itself else -found.si_status
        return True

    def forward(self, number: int) -> None:
        """Passes a signal that came to the launcher on to the whole tree."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def stop(self, number: int) -> None:
        """Ends the tree by a signal, because the launcher decides so."""
        if self.running:
            self.stopped_by = number
        self.forward(number)

    def dump_stacks(self) -> None:
        """Asks for its stacks, on its standard error."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, heartbeat.STACKS_SIGNAL)
        if self.is_stopped:  # It writes them when it goes on, and no more than that.
            self.forward(signal.SIGCONT)
            time.sleep(_STACKS_SECONDS)
            self.forward(signal.SIGSTOP)

    @property
    def is_stopped(self) -> bool:
        """Whether a signal such as SIGSTOP holds it up."""
        try:
            stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] in ("T", "t")

    def collect(self) -> None:
        """Kills what is left of the tree, and lets the system forget the process."""
        self.forward(signal.SIGKILL)
        # A process that waits for a broken disk or driver outlives even SIGKILL.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)

    @property
    def shell_code(self) -> int:
        """The exit code as a shell reports it: 128 + N for signal N."""
        return self.code if self.code >= 0 else 128 - self.code

    @property
    def reason(self) -> str:
        """How it failed, in one of the words of `heartbeat.REASONS`."""
        if self.stuck is not None:
            return "stuck"
        return "killed" if self.code is not None and self.code < 0 else "failed"

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.stuck is not None:
            return self.stuck
        if self.code is None:
            return "still running"
        if self.code >= 0:
            return f"exit code {self.code}"
        return f"killed by {signal_name(-self.code)}"


def signal_name(number: int) -> str:
    """`SIGTERM`, or `signal 40` for those without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
