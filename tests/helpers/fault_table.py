"""The table of faults: what was done to a run, what must happen, what was seen."""

import collections
from typing import NamedTuple

import pytest

_HEAD = ("#", "fault", "expected", "seen", "seconds")
_SEEN = pytest.StashKey[list]()
_SECONDS = pytest.StashKey[float]()


class Line(NamedTuple):
    """What one test says about one fault."""

    row: int
    fault: str
    expected: str
    seen: str
    seconds: float


class FaultTable:
    """A pytest plugin: notes the tests marked `fault`, and prints them as Markdown."""

    def __init__(self):
        self._lines = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        mark = item.get_closest_marker("fault")
        if mark is not None:
            # Set up, call and tear down come one after the other.
            item.stash[_SECONDS] = item.stash.get(_SECONDS, 0.0) + call.duration
            self._lines[item.nodeid] = self._line(item, mark, report)
        return report

    def pytest_terminal_summary(self, terminalreporter):
        lines = markdown(list(self._lines.values()))
        if lines:
            terminalreporter.section("what was done to runs, and what happened")
            for line in lines:
                terminalreporter.write_line(line)

    def _line(self, item, mark, report):
        before = self._lines.get(item.nodeid)
        seen = "; ".join(item.stash.get(_SEEN, []))
        if report.failed or (before and before.seen == "FAILED"):
            seen = "FAILED"
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            seen = reason or "skipped"
        elif before and not seen:
            seen = before.seen
        return Line(*mark.args, seen, item.stash[_SECONDS])


def note(item, text):
    """Remembers what a test has observed."""
    item.stash.setdefault(_SEEN, []).append(str(text))


def markdown(lines):
    """One row for each fault; of several tests of it the longest time."""
    together = collections.defaultdict(list)
    for line in sorted(lines, key=lambda line: line.row):
        together[line.row, line.fault].append(line)
    rows = []
    for (row, fault), same in together.items():
        texts = dict.fromkeys(line.seen for line in same if line.seen)
        seen = "FAILED" if "FAILED" in texts else "; ".join(texts)
        seconds = max(line.seconds for line in same)
        rows.append((row, fault, same[0].expected, seen, f"{seconds:.1f}"))
    if not rows:
        return []
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (_HEAD, *rows)]
    return [lines[0], "| --: | :-- | :-- | :-- | --: |", *lines[1:]]


def _cell(value):
    return " ".join(str(value).replace("|", r"\|").split())
