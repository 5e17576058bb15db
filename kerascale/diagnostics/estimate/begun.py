"""The memory of a training, as a process holds it that begins one.

Single steps in a loop do not show it all: XLA compiles in the process, and plans the
buffers of all steps of a program at once; steps beside one another take more than one
alone. So a process of its own begins the training in a folder that is removed, is asked
to stop after its first steps, and the most that it ever held counts: modes that are
tried, programs, and the first checkpoint are in it.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe
from kerascale.errors import EXIT_DONE, EXIT_STOPPED
from kerascale.launch import module_process, starter
from kerascale.runs import layout
from kerascale.runtime import allocator, free_memory

_LOOK_SECONDS = 0.05
# What is left to others here while it runs.
_LEAST_FREE = 0.1
_MOST_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Peak:
    """The most that the process held.

    Args:
        bytes: So much, or more where there is a problem.
        problem: Why it was ended before its steps; empty if it was not.
    """

    bytes: int
    problem: str = ""


def peak(recipe: Recipe, config: Any, most: int) -> Peak:
    """Begins a training, and ends it after its first steps.

    Args:
        recipe: The recipe.
        config: Its configuration.
        most: The bytes that are asked about: a process that takes more is ended.
    """
    lifeline, own_end = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, own_end)
        stack.callback(os.close, lifeline)
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / layout.CONFIG).write_text(json.dumps({"fields": to_dict(config)}))
        flags = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
        command = [
            sys.executable, *flags, "-m", "kerascale", "train", recipe.source,
            "--config", str(folder / layout.CONFIG), "--run-dir", str(folder / "run"),
        ]  # fmt: skip
        environ = module_process.environment()
        # A training takes TensorFlow's usual allocator.
        environ.pop(allocator.VARIABLE, None)
        log = stack.enter_context(open(folder / "log", "w+b"))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", starter.__file__, str(lifeline), *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=(lifeline,),
            start_new_session=True,
        )
        stack.callback(_end, process)
        found = _watched(process, folder / "run", most)
        if found.problem or process.returncode in (EXIT_DONE, EXIT_STOPPED):
            return found
        lines = (folder / "log").read_text(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {process.returncode}"
        return Peak(found.bytes, f"the training did not begin: {said}")


def _watched(process: subprocess.Popen, run: pathlib.Path, most: int) -> Peak:
    free = free_memory.available_bytes()
    until = time.monotonic() + _MOST_SECONDS
    held, is_told = 0, False
    while process.poll() is None:
        held = max(held, _most_held(process.pid))
        if held > most:
            return Peak(held, "it was ended there, because it took more")
        if free_memory.available_bytes() < _LEAST_FREE * free:
            return Peak(held, "it was ended there: this machine has no more free")
        if time.monotonic() > until:
            return Peak(held, f"no step was done after {_MOST_SECONDS:.0f} s")
        if not is_told and _has_trained(run):
            process.send_signal(signal.SIGTERM)
            is_told = True
        time.sleep(_LOOK_SECONDS)
    return Peak(held)


def _has_trained(run: pathlib.Path) -> bool:
    try:
        starts = json.loads((run / layout.GOODPUT).read_text())["starts"]
        return starts[-1]["step"] > 0
    except (OSError, ValueError, LookupError):
        return False


def _most_held(pid: int) -> int:
    """The most resident bytes that a process had until now; 0: it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines.get("VmHWM", "0 kB").split()[0]) * 1024


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
