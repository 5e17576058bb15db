"""Checks that need TensorFlow: in processes of their own, for a limited time."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.launch.worker import Worker

# Written by a child before each of its results.
MARK = "kerascale-doctor:"
_LAST_LINES = 3
_LOOK_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Ended:
    """What a child has left.

    Args:
        results: Name -> value, of those that it came to.
        failure: Why it came no further; empty: it has ended as it should.
    """

    results: Mapping[str, Any]
    failure: str = ""


def run(
    module: str,
    environments: Sequence[Mapping[str, str]],
    limit_seconds: float,
    arguments: Sequence[str] = (),
) -> list[Ended]:
    """Runs a module once in each environment, at the same time.

    None of the processes outlives this call, or a kill of this process.

    Args:
        module: Passes its results on by `tell`.
        environments: Environment variables.
        limit_seconds: How long they may take.
        arguments: What each is given on its command line.
    """
    lifeline, own_end = os.pipe()
    children: list[_Child] = []
    until = time.monotonic() + limit_seconds
    try:
        for index, environ in enumerate(environments):
            command = [sys.executable, "-m", module, *arguments]
            children.append(_Child(index, command, environ, lifeline))
        while any(child.worker.running for child in children):
            for child in children:
                child.worker.look()
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_SECONDS)
        return [child.ended(limit_seconds) for child in children]
    finally:
        for child in children:
            child.worker.collect()
        os.close(lifeline)
        os.close(own_end)


def environment(**added: str) -> dict[str, str]:
    """That of this process, without a cluster: its faults are another check's."""
    environ = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # kerascale itself, wherever this process has it from.
    root = str(pathlib.Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths), **added}


def tell(name: str, value: Any) -> None:
    """Of a child: passes a result on."""
    print(f"{MARK}{json.dumps([name, value])}", flush=True)


class _Child:
    def __init__(
        self, index: int, command: Sequence[str], environ: Mapping[str, str], line: int
    ) -> None:
        self.worker = Worker(index, command, environ, line, subprocess.PIPE)
        self._lines: dict[str, list[str]] = {"out": [], "err": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name, pipe), daemon=True)
            for name, pipe in (
                ("out", self.worker.process.stdout),
                ("err", self.worker.process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, pipe: Any) -> None:
        rest = b""
        while data := os.read(pipe.fileno(), 65536):
            *lines, rest = (rest + data).split(b"\n")
            self._lines[name] += [line.decode(errors="replace") for line in lines]

    def ended(self, limit_seconds: float) -> Ended:
        if not self.worker.running:  # What it wrote last is on its way.
            for reader in self._readers:
                reader.join(2)
        results = {}
        for line in list(self._lines["out"]):
            if line.startswith(MARK):
                name, value = json.loads(line.removeprefix(MARK))
                results[name] = value
        if self.worker.running:
            return Ended(results, f"took longer than {limit_seconds:g} s")
        if self.worker.code == 0:
            return Ended(results)
        lines = [x.strip() for x in self._lines["err"] if x.strip()][-_LAST_LINES:]
        why = f": {' / '.join(lines)}" if lines else ""
        return Ended(results, f"{self.worker.how}{why}")
