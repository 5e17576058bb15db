"""Who is compared: a name, an environment, a runner; and its process."""

import dataclasses
import json
import os
import pathlib
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import environments

TESTS = pathlib.Path(__file__).resolve().parent.parent
_LAST_LINES = 4


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train.

    Args:
        name: Its name on the command line.
        title: What it is, for the table.
        environment: See `environments.get`.
        runner: A module of `runners/`.
        variables: Environment variables beside those of this process.
    """

    name: str
    title: str
    environment: str
    runner: str
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)


_TENSORFLOW = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
_JAX = {"KERAS_BACKEND": "jax"}

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "kerascale",
            "kerascale, `ks.scale(model).fit`",
            environments.OWN,
            "keras_fit",
            # The checkout, wherever the installed one is from.
            _TENSORFLOW | {"PYTHONPATH": str(TESTS.parent)},
        ),
        Contender("keras", "Keras `fit`", environments.OWN, "keras_fit", _TENSORFLOW),
        Contender(
            "keras-16",
            "Keras `fit`, steps_per_execution=16",
            environments.OWN,
            "keras_fit",
            _TENSORFLOW,
        ),
        Contender(
            "keras-16-xla",
            "Keras `fit`, steps_per_execution=16, jit_compile=True",
            environments.OWN,
            "keras_fit",
            _TENSORFLOW,
        ),
        Contender("keras-jax", "Keras on JAX, `fit`", "jax", "keras_fit", _JAX),
        Contender(
            "keras-jax-16",
            "Keras on JAX, `fit`, steps_per_execution=16",
            "jax",
            "keras_fit",
            _JAX,
        ),
        Contender("jax-scan", "JAX by hand, lax.scan", "jax", "jax_loop"),
        Contender("jax-step", "JAX by hand, a call per step", "jax", "jax_loop"),
        Contender("torch", "PyTorch, fused optimizer", "torch", "torch_loop"),
        Contender(
            "torch-compile", "torch.compile, fused optimizer", "torch", "torch_loop"
        ),
        Contender("lightning", "Lightning, fused optimizer", "torch", "lightning_fit"),
    )
}


class FailedError(Exception):
    """A contender that cannot go on. Its text is the reason."""


class Process:
    """A contender's process, which runs only while it has something to do.

    Args:
        command: What to start.
        variables: Environment variables beside those of this process.
        log: The file for its standard error.
        cwd: The folder that it is started in.
        pauses: Whether it is stopped meanwhile; a worker of several may not be.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        log: pathlib.Path,
        cwd: str | os.PathLike | None = None,
        pauses: bool = True,
    ) -> None:
        self._log = log
        self._pauses = pauses
        self._buffer = b""
        self.started = time.perf_counter()
        with open(log, "wb") as errors:
            self._popen = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **variables},
                cwd=cwd,
                # A group of its own, to stop and go on with all that it starts.
                start_new_session=True,
            )

    def ask(self, do: str, *, timeout: float, **values: Any) -> dict[str, Any]:
        """Lets it go on, asks, and stops it again when it has answered.

        Raises:
            FailedError: It says so, ends, or does not answer in time; it is ended
                then.
        """
        self.begin(do, **values)
        return self.finish(do, timeout=timeout)

    def begin(self, do: str, **values: Any) -> None:
        """Lets it go on, and asks.

        Raises:
            FailedError: It has ended.
        """
        try:
            if self._pauses:
                self._signal(signal.SIGCONT)
            self._popen.stdin.write(json.dumps({"do": do, **values}).encode() + b"\n")
            self._popen.stdin.flush()
        except OSError as error:
            self.stop()
            raise FailedError(f"{do}: {error}; {self._last_words()}") from error

    def finish(self, do: str, *, timeout: float) -> dict[str, Any]:
        """Waits for the answer to what `begin` has asked.

        Raises:
            FailedError: As `ask`.
        """
        try:
            answer = json.loads(self._read_line(time.monotonic() + timeout))
            if "error" in answer:
                raise FailedError(answer["error"])
            if self._pauses:
                self._signal(signal.SIGSTOP)
        except (OSError, ValueError) as error:
            self.stop()
            raise FailedError(f"{do}: {error}; {self._last_words()}") from error
        except FailedError as error:
            self.stop()
            raise FailedError(f"{do}: {error}") from error
        return answer

    def processor_seconds(self) -> float:
        """Those of it and of all that it has started, as far as they are there."""
        ticks = 0
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue  # It has ended meanwhile.
            # State, parent, group, session; the eleventh and twelfth are the times.
            if int(fields[3]) == self._popen.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends it, and all that it has started."""
        self._signal(signal.SIGKILL)
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            try:
                pipe.close()
            except OSError:
                continue  # What was not read any more cannot be flushed.

    def _read_line(self, ends: float) -> bytes:
        while b"\n" not in self._buffer:
            seconds = ends - time.monotonic()
            if (
                seconds <= 0
                or not select.select([self._popen.stdout], [], [], seconds)[0]
            ):
                raise FailedError("no answer in time")
            data = os.read(self._popen.stdout.fileno(), 65536)
            if not data:
                code = self._popen.wait()
                raise FailedError(f"ended with code {code}; {self._last_words()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-_LAST_LINES:]) or "nothing in its log"

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            pass  # It has ended; whoever asks it next is told.


def start(
    contender: Contender,
    letter: str,
    environment: environments.Environment,
    logs: pathlib.Path,
) -> Process:
    """Starts a contender on a workload."""
    module = f"{__package__.rpartition('.')[2]}.runners.{contender.runner}"
    # `tests/` is where the package is found without a kerascale to be installed.
    return Process(
        [environment.python, "-m", module, contender.name, letter],
        contender.variables,
        logs / f"{letter}-{contender.name}.log",
        cwd=TESTS,
    )
