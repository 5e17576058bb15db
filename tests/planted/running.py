"""Runs the tests of a fault's room on a copy of the tree that has the fault."""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from .fault import Fault

COPIED = (
    "kerascale",
    "recipes",
    "data",
    "docs",
    "tests",
    "setup.cfg",
    "pyproject.toml",
)
# For one run of pytest. Whoever hangs is not caught: a test says what is wrong.
_LIMIT_SECONDS = 900
_FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
_DONE, _TESTS_FAILED = 0, 1
# Of pytest: a test of that name is not there, or none was selected.
_NOT_FOUND = (4, 5)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the tests said about a fault.

    Args:
        fault: The fault.
        caught_by: The test that failed first; empty: none did.
        named: Whether it is one of those that the fault names.
        seconds: How long that took.
        note: What else should be known.
    """

    fault: Fault
    caught_by: str
    named: bool
    seconds: float
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Tested:
    """How one run of pytest ended: its exit code, the tests that failed, its end."""

    code: int
    failed: list[str]
    tail: str


class Runner:
    """Copies of a tree, one for each run at a time, in which faults are planted.

    Args:
        tree: The tree to copy.
        folder: Where the copies are made.
        jobs: How many runs at a time.
        named_only: Whether the rest of a room is left out where the named tests pass.
    """

    def __init__(
        self,
        tree: pathlib.Path,
        folder: pathlib.Path,
        jobs: int,
        *,
        named_only: bool = False,
    ) -> None:
        self._tree = tree
        self._jobs = jobs
        self._named_only = named_only
        self._copies: queue.Queue[pathlib.Path] = queue.Queue()
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        for number in range(jobs):
            copy = folder / f"copy-{number}"
            copy.mkdir(parents=True)
            for name in COPIED:
                _copy(tree / name, copy / name)
            self._copies.put(copy)

    def outcomes(self, faults: Sequence[Fault]) -> Iterator[Outcome]:
        """One for each fault, as they come."""
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            waiting = [pool.submit(self._outcome, fault) for fault in faults]
            try:
                for done in concurrent.futures.as_completed(waiting):
                    yield done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._kill_all()
                raise

    def failing_without_fault(self, tests: Sequence[str]) -> set[str]:
        """Those of some tests that fail in a tree without any fault."""
        if not tests:
            return set()
        with self._copy() as copy:
            together = self._pytest(copy, tests, stops=False)
            if together.code in (_DONE, _TESTS_FAILED):
                return set(together.failed)
            return {t for t in tests if self._pytest(copy, [t]).code != _DONE}

    def _outcome(self, fault: Fault) -> Outcome:
        with self._copy() as copy:
            path = fault.path(copy)
            path.write_text(fault.patched(copy), encoding="utf-8")
            try:
                return self._look(fault, copy)
            finally:
                # With its time of before: what was compiled meanwhile is too new.
                shutil.copy2(fault.path(self._tree), path)

    def _look(self, fault: Fault, copy: pathlib.Path) -> Outcome:
        began = time.monotonic()
        room = f"tests/{fault.room}"
        stages = [[f"{room}/{test}" for test in fault.tests], [room]]
        note = ""
        for named, tests in zip((True, False), stages, strict=True):
            if not tests or (self._named_only and not named and fault.tests):
                continue
            tested = self._pytest(copy, tests)
            if tested.code == _TESTS_FAILED and tested.failed:
                seconds = time.monotonic() - began
                return Outcome(fault, tested.failed[0], named, seconds, note)
            if tested.code in _NOT_FOUND:
                note = f"not there: {', '.join(fault.tests)}"
            elif tested.code != _DONE:
                note = f"pytest ended with {tested.code}: {tested.tail}"
        return Outcome(fault, "", False, time.monotonic() - began, note)

    @contextlib.contextmanager
    def _copy(self) -> Iterator[pathlib.Path]:
        copy = self._copies.get()
        try:
            yield copy
        finally:
            self._copies.put(copy)

    def _pytest(
        self, copy: pathlib.Path, tests: Sequence[str], *, stops: bool = True
    ) -> Tested:
        command = [sys.executable, "-m", "pytest", "-q", *(["-x"] if stops else [])]
        # Not those of setup.cfg, which may ask for several processes.
        command += ["-o", "addopts=", "-p", "no:xdist", "-p", "no:cacheprovider"]
        command += ["-rf", "--strict-markers", "--tb=line", "-m", "not slow"]
        command += [f"--basetemp={copy}-temporary", *tests]
        process = subprocess.Popen(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        with self._lock:
            self._running.add(process)
        try:
            output, _ = process.communicate(timeout=_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(process)
            output, _ = process.communicate()
            return Tested(124, [], f"nothing within {_LIMIT_SECONDS} s")
        finally:
            with self._lock:
                self._running.discard(process)
        tail = " | ".join(output.strip().splitlines()[-3:])
        return Tested(process.returncode, _FAILED.findall(output), tail)

    def _kill_all(self) -> None:
        with self._lock:
            for process in self._running:
                _kill(process)


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy2(source, target)


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
