"""What is wrong with records: refused, or skipped up to a share, and said."""

import os
from collections.abc import Mapping
from typing import Any

from kerascale.datasets.sources.checks import Problems
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted, say

_KEPT = ("_skipped", "_lost_bytes", "_first", "_all_used", "_all_skipped", "_all_bytes")


class Faults:
    """Collects the records that cannot be used.

    Args:
        name: What the user calls the data.
        skip_share: The largest share of the records that may be skipped.
    """

    def __init__(self, name: str, skip_share: float) -> None:
        self._name = name
        self._skip_share = skip_share
        self._problems = Problems(f"{name} cannot be used")
        self._skipped = 0  # In the file that is being read.
        self._lost_bytes = 0
        self._first = ""
        self._all_used = 0
        self._all_skipped = 0
        self._all_bytes = 0
        self._lost: list[tuple[str, int]] = []
        self.lines: list[str] = []
        """What is wrong, a line for each record."""

    @property
    def share(self) -> float:
        """Of the records, that may be skipped."""
        return self._skip_share

    def to_json(self) -> dict[str, Any]:
        """All that was noted, to go on with by `restore`."""
        fields = {name: getattr(self, name) for name in _KEPT}
        # As they are now: packing goes on while this is kept.
        fields |= {"lines": list(self.lines), "_lost": [list(x) for x in self._lost]}
        problems = self._problems
        return {**fields, "listed": list(problems.listed), "total": problems.total}

    def restore(self, noted: Mapping[str, Any]) -> None:
        """Takes over what `to_json` gave."""
        for name in (*_KEPT, "lines"):
            setattr(self, name, noted[name])
        self._lost = [(file, count) for file, count in noted["_lost"]]
        self._problems.listed, self._problems.total = (
            list(noted["listed"]),
            noted["total"],
        )

    def add(self, file: str, number: int, reason: str, lost_bytes: int = 0) -> None:
        """Notes a record that cannot be used.

        Args:
            file: The file.
            number: The record's number in it, from 1.
            reason: What was expected and what was received.
            lost_bytes: What of the file cannot be read for it.
        """
        line = f"{file}, record {number}: {reason.rstrip('.')}."
        self._problems.add(line)
        self.lines.append(line)
        self._first = self._first or f"record {number}: {reason}"
        self._skipped += 1
        self._lost_bytes += lost_bytes

    def end_of_file(self, file: str, used: int, expected: int | None) -> None:
        """Counts, and says what was skipped, after the last record of a file.

        Args:
            file: The file.
            used: Records that are used.
            expected: Records that it should have; None: that is not known.

        Raises:
            RefusedError: If there is nothing in it.
        """
        size = os.path.getsize(file)
        if size == 0 or not (used or self._skipped):
            raise RefusedError(
                f"{file}: expected records. Received: an empty file. Copy or write it "
                "again, or remove it."
            )
        found = used + self._skipped
        if expected is not None and found != expected and not self._lost_bytes:
            reason = f"expected {expected} records, as schema.json says"
            problem = f"{file}: {reason}. Received: {found}."
            if found > expected:
                raise RefusedError(f"{problem} Correct schema.json.")
            self._problems.add(problem)
            self._first = self._first or reason
        if expected is not None:
            self._skipped = max(self._skipped, expected - used)
        elif self._lost_bytes:
            self._lost.append((file, self._lost_bytes))
        if self._first and self._skip_share:
            rest = ""
            if self._lost_bytes:
                rest = f", and lost its last {counted(self._lost_bytes, 'byte')}"
            records = counted(used + self._skipped, "record")
            say(f"{file}: skipped {self._skipped} of {records}{rest} ({self._first})")
        self._all_used += used
        self._all_skipped += self._skipped
        self._all_bytes += size - self._lost_bytes
        self._skipped, self._lost_bytes, self._first = 0, 0, ""

    def settle(self) -> None:
        """Refuses, if more is wrong than may be skipped.

        Raises:
            RefusedError: With file and number of every record that is wrong.
        """
        if not self._problems:
            return
        if self._skip_share:
            skipped = self._all_skipped + self._lost_records()
            total = self._all_used + skipped
            if skipped <= self._skip_share * total:
                return
            about = "about " * bool(self._lost)
            self._problems.listed.insert(
                0,
                f"{self._name}: expected to skip at most {self._skip_share:g} of the "
                f"records (--skip-damaged-share). Received: {about}{skipped} of "
                f"{total}, which is {skipped / total:.2g}.",
            )
            self._problems.total += 1
        self._problems.raise_if_any()

    def _lost_records(self) -> int:
        """About how many records are in what could not be read, beside the first."""
        read = self._all_used + self._all_skipped
        per_byte = read / max(1, self._all_bytes)
        return sum(max(0, round(lost * per_byte) - 1) for _, lost in self._lost)
