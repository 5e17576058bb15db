"""Process groups: one for each strategy, with many cases each."""

import dataclasses
import json
import os
import pathlib
import re
import socket
import time

WORKER = pathlib.Path(__file__).parent / "worker.py"

# Importing TensorFlow, and each case, on a machine that does other things too.
START_SECONDS = 120
CASE_SECONDS = 60

# From the end of its last case until a process has gone.
EXIT_SECONDS = 60

# What a worker says last.
FINISHED = "all cases have ended"

# What a worker exits with after a case that raised: see `worker.py`.
OUT_OF_STEP = 3


@dataclasses.dataclass(frozen=True)
class Cell:
    """A case in one precision, and how it is run.

    Args:
        way: A strategy; `one:FORM`, one device with a form of execution forced;
            `STRATEGY+FORM`, the same of several replicas; or any with `plain-` before
            it, for plain Keras.
        precision: A dtype policy.
        name: Of a case or a refusal; `NAME@2` is NAME, run again.
    """

    way: str
    precision: str
    name: str

    @classmethod
    def read(cls, text):
        """From what `str` gives."""
        return cls(*text.split("/"))

    def __str__(self):
        return f"{self.way}/{self.precision}/{self.name}"

    @property
    def folder(self):
        """Where its results are."""
        return f"{self.way.replace(':', '_')}-{self.precision}"

    @property
    def is_plain(self):
        return self.way.startswith("plain-")

    @property
    def form(self):
        """The form of execution that is forced; empty: none is."""
        return self.way.partition("one:")[2] or self.way.partition("+")[2]

    @property
    def strategy(self):
        """That of its processes."""
        if self.way.startswith("one:"):
            return "one"
        return self.way.removeprefix("plain-").partition("+")[0]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a group ended.

    Args:
        codes: Exit code of each process; None for one that had to be killed.
        logs: What each process wrote.
        began: The cells that it began.
    """

    codes: tuple[int | None, ...]
    logs: tuple[str, ...]
    began: tuple[str, ...]


def run(strategy, cells, folder, forks):
    """Runs cells in one process for each worker; waits for all of them.

    Args:
        forks: Starts processes that need not import TensorFlow.
        strategy: See `worker.py`.
        cells: In order, each a text.
        folder: Where logs go, and a folder of results for each way and precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers = num_workers(strategy)
    command = [str(WORKER), strategy, str(folder), *cells]
    number = len(list(folder.glob("*.log")))
    paths = [folder / f"{number}.{index}.log" for index in range(workers)]
    processes = []
    for path, environment in zip(paths, _environments(workers), strict=True):
        with path.open("w") as log:
            processes.append(
                forks.start(
                    command,
                    cwd=folder,
                    env=environment,
                    stdout=log.fileno(),
                    stderr=log.fileno(),
                )
            )
    end = time.monotonic() + START_SECONDS + CASE_SECONDS * len(cells)
    codes = tuple(map(_wait, processes, paths, [end] * workers))
    logs = tuple(path.read_text(errors="replace") for path in paths)
    began = tuple(re.findall(r"^begin (\S+)$", logs[0], re.MULTILINE))
    return Outcome(codes, logs, began)


def run_all(strategy, cells, folder, forks):
    """Like `run`; after a cell that ends its group, a new group takes the rest.

    Returns:
        An outcome for each group.
    """
    outcomes = []
    left = list(cells)
    while left:
        outcome = run(strategy, left, folder, forks)
        outcomes.append(outcome)
        left = left[max(1, len(outcome.began)) :]
    return outcomes


def num_workers(strategy):
    """Processes of a strategy."""
    kind, _, count = strategy.partition(":")
    return int(count) if kind in ("workers", "shared") else 1


def _wait(process, log, end):
    """Its exit code; None if it did not end by itself."""
    has_finished = False
    while process.poll() is None:
        if not has_finished and FINISHED in log.read_text(errors="replace"):
            has_finished = True
            end = min(end, time.monotonic() + EXIT_SECONDS)
        if time.monotonic() > end:
            process.kill()
            process.wait()
            return None
        time.sleep(0.5)
    return process.returncode


def _environments(workers):
    """An environment for each worker, with a TF_CONFIG where there are several."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    if workers == 1:
        return [environment]
    addresses = _free_addresses(workers)
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(workers)
    ]
    return [{**environment, "TF_CONFIG": json.dumps(config)} for config in configs]


def _free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses
