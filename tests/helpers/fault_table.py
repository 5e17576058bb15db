"""The table of faults: what was done to a run, what must happen, what was seen."""

import collections
from typing import NamedTuple

import pytest

_HEAD = ("#", "fault", "expected", "seen", "seconds")
_SEEN = pytest.StashKey[list]()
_SECONDS = pytest.StashKey[float]()
# The name of what a report carries, from one process to another if need be.
_PROPERTY = "fault"


class Line(NamedTuple):
    """What one test says about one fault."""

    row: int
    fault: str
    expected: str
    seen: str
    seconds: float


class FaultTable:
    """A pytest plugin: notes the tests marked `fault`, and prints them as Markdown.

    Reports are made where a test runs, and collected where the table is printed: with
    pytest-xdist these are two processes.
    """

    def __init__(self):
        self._lines = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        marks = list(item.iter_markers("fault"))
        if marks:
            # Set up, call and tear down come one after the other.
            item.stash[_SECONDS] = item.stash.get(_SECONDS, 0.0) + call.duration
        for mark in marks:
            line = self._line(item, mark, report)
            report.user_properties.append((_PROPERTY, list(line)))
        return report

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name != _PROPERTY:
                continue
            line = Line(*value)
            key = report.nodeid, line.fault
            before = self._lines.get(key)
            if before and (before.seen == "FAILED" or not line.seen):
                line = line._replace(seen=before.seen)
            self._lines[key] = line

    def pytest_terminal_summary(self, terminalreporter):
        lines = markdown(list(self._lines.values()))
        if lines:
            terminalreporter.section("what was done to runs, and what happened")
            for line in lines:
                terminalreporter.write_line(line)

    def _line(self, item, mark, report):
        _, fault, _ = mark.args
        notes = item.stash.get(_SEEN, [])
        seen = "; ".join(text for of, text in notes if of in (None, fault))
        if report.failed:
            seen = "FAILED"
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            seen = reason or "skipped"
        return Line(*mark.args, seen, item.stash[_SECONDS])


def note(item, text, fault=None):
    """Remembers what a test has observed.

    Args:
        item: The test.
        text: What it has observed.
        fault: Which of several faults that it is marked with; None: each.
    """
    item.stash.setdefault(_SEEN, []).append((fault, str(text)))


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
