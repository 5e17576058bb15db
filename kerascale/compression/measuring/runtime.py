"""Another process with a model's runtime, from the side of whoever asks it."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from kerascale.errors import ExportRefusedError

_SCRIPT = pathlib.Path(__file__).with_name("runtime_process.py")
_LAST_LINES = 6


class Runtime:
    """A process that answers with models in one format.

    Args:
        process: It runs `runtime_process.py`.
        errors: What it writes to standard error.
    """

    def __init__(self, process: subprocess.Popen, errors: Any) -> None:
        self._process = process
        self._errors = errors

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends one request, and waits for its reply.

        Raises:
            ExportRefusedError: If the process ended, with what it said.
        """
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
        raise ExportRefusedError(
            "expected a model that loads and answers in its own runtime, without "
            f"Keras. Received, with exit code {self._process.returncode}: "
            # What it ended with first, and then where.
            + "\n".join([*lines[-1:], *lines[:-1]])
        )


@contextlib.contextmanager
def started(name: str, threads: int) -> Iterator[Runtime]:
    """Starts a runtime's process, which ends with the context.

    Args:
        name: The runtime: see `formats.rungs.RUNTIMES`.
        threads: How many threads it computes with.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment["CUDA_VISIBLE_DEVICES"] = "-1"
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            # -P: the modules beside the script are not to be imported by their names.
            [sys.executable, "-P", str(_SCRIPT), name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        try:
            yield Runtime(process, errors)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()
