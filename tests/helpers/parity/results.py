"""Results of all groups of a test run: each group is run once, several at a time.

Where pytest-xdist tests in several processes, they share one folder, and each runs the
groups that no other has begun.
"""

import concurrent.futures
import dataclasses
import json
import pathlib
import re
import threading
import time

import filelock
import groups
import numpy as np
import pytest
from helpers.forks import Forks

# Graphs add up in a process; and a group that ends early takes others with it.
CELLS_IN_A_GROUP = 40


@dataclasses.dataclass(frozen=True)
class Group:
    """Cells of one strategy.

    Args:
        strategy: See `worker.py`.
        cells: In order.
        folder: For results and logs.
        forks: Starts its processes.
    """

    strategy: str
    cells: tuple[groups.Cell, ...]
    folder: pathlib.Path
    forks: Forks

    def try_run(self):
        """Runs it, unless somebody has or does; tells whether it is finished."""
        if self._finished.exists():
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # Free again if its owner dies.
            with filelock.FileLock(self.folder / "lock", timeout=0):
                if not self._finished.exists():
                    texts = list(map(str, self.cells))
                    outcomes = groups.run_all(
                        self.strategy, texts, self.folder, self.forks
                    )
                    new = self.folder / "finished.new"
                    new.write_text(json.dumps(list(map(dataclasses.asdict, outcomes))))
                    new.rename(self._finished)
            return True
        except filelock.Timeout:
            return False

    def outcomes(self):
        """How it ended, process group by process group; None: it has not."""
        if not self._finished.exists():
            return None
        read = json.loads(self._finished.read_text())
        return [
            groups.Outcome(**{key: tuple(value) for key, value in outcome.items()})
            for outcome in read
        ]

    @property
    def _finished(self):
        return self.folder / "finished.json"


def make_groups(wanted, folder, forks):
    """The groups of all cells; those of many processes first, which take longest.

    Args:
        wanted: (way, precision) -> names, see `groups.Cell`.
        folder: For results and logs.
        forks: Starts their processes.
    """
    cells = {}
    for (way, precision), names in wanted.items():
        for name in names:
            cell = groups.Cell(way, precision, name)
            cells.setdefault(cell.strategy, []).append(cell)
    found = []
    for strategy in sorted(cells, key=lambda name: -groups.num_workers(name)):
        # Plain Keras before anything of ours has run. Of several workers last: there
        # what raises ends the processes.
        is_last = groups.num_workers(strategy) > 1
        order = sorted(cells[strategy], key=lambda cell: cell.is_plain is is_last)
        for first in range(0, len(order), CELLS_IN_A_GROUP):
            part = tuple(order[first : first + CELLS_IN_A_GROUP])
            place = folder / strategy.replace(":", "_") / str(first)
            found.append(Group(strategy, part, place, forks))
    return found


class Results:
    """What the selected cells gave.

    Args:
        folder: For results and logs.
        wanted: See `make_groups`; all that tests will ask for.
        at_once: Groups that this process runs at a time.
        forks: Starts their processes.
    """

    def __init__(self, folder, wanted, at_once, forks):
        self.wanted = wanted
        self._groups = make_groups(wanted, folder, forks)
        self._group_of = {cell: one for one in self._groups for cell in one.cells}
        self._threads = []
        self._pool = concurrent.futures.ThreadPoolExecutor(at_once)
        self._at_once = at_once
        self._is_closed = threading.Event()

    def start(self):
        """Starts the first groups; the others follow."""
        if not self._threads:
            work = range(self._at_once)
            self._threads = [self._pool.submit(self._run_groups) for _ in work]

    def close(self):
        """Waits for the groups that run; begins none any more."""
        self._is_closed.set()
        self._pool.shutdown()

    def outcomes(self, strategy):
        """How the process groups of a strategy ended."""
        of_it = [group for group in self._groups if group.strategy == strategy]
        return [outcome for group in of_it for outcome in self._wait(group)]

    def log(self, way, precision, name):
        """What all workers wrote while a cell ran."""
        cell = groups.Cell(way, precision, name)
        pattern = rf"^begin {re.escape(str(cell))}$(.*?)^end {re.escape(str(cell))} "
        outcomes = self._wait(self._group_of[cell])
        logs = [log for outcome in outcomes for log in outcome.logs]
        found = [re.search(pattern, log, re.MULTILINE | re.DOTALL) for log in logs]
        return "".join(match[1] for match in found if match)

    def find(self, way, precision, name, suffix="npz"):
        """Files that a cell wrote: one for each worker that did."""
        cell = groups.Cell(way, precision, name)
        group = self._group_of[cell]
        self._wait(group)
        return sorted((group.folder / cell.folder).glob(f"{name}.{suffix}"))

    def error(self, way, precision, name):
        """The traceback of a cell that raised, of its first worker; or None."""
        errors = self.find(way, precision, name, "*.error")
        return errors[0].read_text() if errors else None

    def arrays(self, way, precision, name):
        """Name -> array of a cell. Fails the test if the cell has failed."""
        error = self.error(way, precision, name)
        if error:
            pytest.fail(f"{name} under {way}, {precision}:\n{error}", False)
        files = self.find(way, precision, name)
        if not files:
            cell = groups.Cell(way, precision, name)
            logs = [
                log[-3000:]
                for outcome in self._wait(self._group_of[cell])
                if str(cell) in outcome.began
                for log in outcome.logs
            ]
            pytest.fail(f"{cell} has no result:\n" + "\n".join(logs))
        with np.load(files[0]) as archive:
            return dict(archive)

    def _run_groups(self):
        left = self._groups
        while left and not self._is_closed.is_set():
            left = [
                one for one in left if self._is_closed.is_set() or not one.try_run()
            ]
            if left:  # Others run these.
                time.sleep(0.5)

    def _wait(self, group):
        self.start()
        outcomes = group.outcomes()
        while outcomes is None:
            for thread in self._threads:
                if thread.done():
                    thread.result()  # Raises what it did.
            time.sleep(0.2)
            outcomes = group.outcomes()
        return outcomes
