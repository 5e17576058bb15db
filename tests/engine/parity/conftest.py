"""Starts the process groups that the selected tests need."""

import os

import pytest
from results import Results
from table import PROPERTY

# For two cores: workers wait for one another half of the time.
GROUPS_AT_ONCE = 2

_WANTED = pytest.StashKey[dict]()


def pytest_configure(config):
    config.stash[_WANTED] = {}
    config.addinivalue_line(
        "markers", "runs(way, precision, *names): cases that a test reads"
    )


def pytest_collection_finish(session):
    """Notes which cases the selected tests will read."""
    wanted = {}
    for item in session.items:
        for mark in item.iter_markers("runs"):
            way, precision, *names = mark.args
            chosen = wanted.setdefault((way, precision), {})
            chosen.update(dict.fromkeys(names))
    session.config.stash[_WANTED] = {key: list(names) for key, names in wanted.items()}


@pytest.fixture(scope="session")
def results(request, tmp_path_factory, forks):
    """What the selected cases gave, under every strategy."""
    folder, processes = tmp_path_factory.mktemp("parity"), 1
    if hasattr(request.config, "workerinput"):  # A process of pytest-xdist.
        folder = tmp_path_factory.getbasetemp().parent / "parity"
        processes = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    at_once = max(1, GROUPS_AT_ONCE // processes)
    found = Results(folder, request.config.stash[_WANTED], at_once, forks)
    found.start()
    yield found
    found.close()


@pytest.fixture
def tell(request):
    """Tells the table the largest difference of a cell; without it the cell failed."""

    def add(precision, feature, column, text=""):
        properties = request.node.user_properties
        properties[:] = [p for p in properties if p[0] != PROPERTY]
        properties.append((PROPERTY, (precision, feature, column, text)))

    return add
