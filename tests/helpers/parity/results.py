"""Results of all groups of a session: each group is run once, several at a time."""

import concurrent.futures
import threading

import groups
import numpy as np
import pytest

# For two cores: workers wait for one another half of the time.
GROUPS_AT_ONCE = 3
# Graphs add up in a process; and a group that ends early takes others with it.
CASES_IN_A_GROUP = 40


class Results:
    """What the selected cases gave.

    Args:
        folder: For results and logs.
        wanted: (strategy, precision) -> names of cases, all that tests will ask for.
    """

    def __init__(self, folder, wanted):
        self.folder = folder
        self.wanted = wanted
        self._futures = {}
        self._pool = concurrent.futures.ThreadPoolExecutor(GROUPS_AT_ONCE)
        self._lock = threading.Lock()

    def start(self):
        """Starts all groups; those of many processes first, which take longest."""
        with self._lock:
            if self._futures:
                return
            order = sorted(self.wanted, key=lambda key: -groups.num_workers(key[0]))
            for strategy, precision in order:
                names = self.wanted[strategy, precision]
                for first in range(0, len(names), CASES_IN_A_GROUP):
                    part = names[first : first + CASES_IN_A_GROUP]
                    future = self._pool.submit(
                        groups.run_all,
                        strategy,
                        precision,
                        part,
                        self.path(strategy, precision) / str(first),
                    )
                    for name in part:
                        self._futures[strategy, precision, name] = future

    def path(self, strategy, precision):
        return self.folder / f"{strategy.replace(':', '_')}-{precision}"

    def outcomes(self, strategy, precision):
        """How the groups of a strategy ended."""
        self.start()
        futures = {
            id(future): future
            for key, future in self._futures.items()
            if key[:2] == (strategy, precision)
        }
        return [o for future in futures.values() for o in future.result()]

    def find(self, strategy, precision, name, suffix="npz"):
        """Files that a case wrote: one for each worker that did."""
        self.start()
        self._futures[strategy, precision, name].result()
        pattern = f"*/{name}.{suffix}"
        return sorted(self.path(strategy, precision).glob(pattern))

    def error(self, strategy, precision, name):
        """The traceback of a case that raised, of its first worker; or None."""
        errors = self.find(strategy, precision, name, "*.error")
        return errors[0].read_text() if errors else None

    def arrays(self, strategy, precision, name):
        """Name -> array of a case. Fails the test if the case has failed."""
        error = self.error(strategy, precision, name)
        if error:
            pytest.fail(f"{name} under {strategy}, {precision}:\n{error}", False)
        files = self.find(strategy, precision, name)
        if not files:
            logs = [
                log[-3000:]
                for outcome in self.outcomes(strategy, precision)
                if name in outcome.began
                for log in outcome.logs
            ]
            pytest.fail(f"{name} under {strategy} has no result:\n" + "\n".join(logs))
        with np.load(files[0]) as archive:
            return dict(archive)

    def close(self):
        self._pool.shutdown(cancel_futures=True)
