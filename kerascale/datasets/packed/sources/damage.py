"""Rows that are damaged: left out up to a share, or refused; said in either case."""

from collections.abc import Sequence

from kerascale.datasets.sources.checks import MAX_LISTED, Problems
from kerascale.runtime.console import say


class Damage:
    """Collects rows that cannot be used.

    Packing goes on behind them, so that all are told at once, and that the same command
    with a greater share goes on. It ends early where too many are certain.

    Args:
        name: What the user calls the data.
        share: The largest share of the rows that may be left out.
        lines: What was found before; see `lines`.
    """

    def __init__(self, name: str, share: float, lines: Sequence[str] = ()) -> None:
        self._name = name
        self._share = share
        self.lines = tuple(lines)
        """What is wrong, a line for each row."""

    def add(self, line: str) -> None:
        """Notes a row that cannot be used."""
        self.lines += (line,)
        if len(self.lines) <= MAX_LISTED:
            say(f"damaged: {line}")
        elif len(self.lines) == MAX_LISTED + 1:
            say("damaged: more rows, which are counted")

    def check(self, num_rows: int | None) -> None:
        """Refuses as soon as more is damaged than may be.

        Args:
            num_rows: How many rows there are, the damaged ones included; None: that is
                not known yet.

        Raises:
            RefusedError: With those that are listed.
        """
        count = len(self.lines)
        if num_rows is None:
            is_too_much = not self._share and count >= MAX_LISTED
        else:
            is_too_much = count > self._share * num_rows
            # The others are told, too.
            is_too_much = is_too_much and count >= MAX_LISTED
        if is_too_much:
            self._refuse(num_rows)

    def settle(self, num_rows: int) -> None:
        """Refuses, after the last row, if more is damaged than may be.

        Raises:
            RefusedError: With those that are listed.
        """
        if len(self.lines) > self._share * num_rows:
            self._refuse(num_rows)

    def _refuse(self, num_rows: int | None) -> None:
        problems = Problems(f"{self._name} cannot be used")
        of = "" if num_rows is None else f" of {num_rows:,}"
        problems.add(
            f"{self._name}: expected at most a share of {self._share:g} of damaged "
            f"rows. Received: {len(self.lines):,}{of}. Mend them and begin anew with "
            "--again; or leave them out with a greater --skip-damaged-share: the same "
            "command goes on."
        )
        for line in self.lines:
            problems.add(line)
        problems.raise_if_any()
