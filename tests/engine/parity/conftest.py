"""Starts the process groups that the selected tests need; prints their table."""

import pytest
from results import Results
from table import Table

_WANTED = pytest.StashKey[dict]()
_TABLE = pytest.StashKey[Table]()


def pytest_configure(config):
    config.stash[_WANTED] = {}
    config.stash[_TABLE] = Table()
    config.addinivalue_line(
        "markers", "runs(strategy, precision, *names): cases that a test reads"
    )


def pytest_collection_finish(session):
    """Notes which cases the selected tests will read."""
    wanted = {}
    for item in session.items:
        for mark in item.iter_markers("runs"):
            strategy, precision, *names = mark.args
            chosen = wanted.setdefault((strategy, precision), {})
            chosen.update(dict.fromkeys(names))
    session.config.stash[_WANTED] = {key: list(names) for key, names in wanted.items()}


@pytest.fixture(scope="session")
def results(request, tmp_path_factory):
    """What the selected cases gave, under every strategy."""
    wanted = request.config.stash[_WANTED]
    found = Results(tmp_path_factory.mktemp("parity"), wanted)
    found.start()
    yield found
    found.close()


@pytest.fixture(scope="session")
def table(request):
    """Collects the largest difference of each cell."""
    return request.config.stash[_TABLE]


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[_TABLE].markdown()
    if lines:
        terminalreporter.section("largest relative differences from one device")
        for line in lines:
            terminalreporter.write_line(line)
