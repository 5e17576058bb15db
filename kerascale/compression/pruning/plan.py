"""How much is pruned when: the cubic schedule of Zhu and Gupta."""

import dataclasses

from kerascale.errors import RefusedError

# Times at which masks are chosen, unless it is said how often. The schedule is as good
# as smooth, and to choose a mask takes as long as some steps.
_TIMES = 20


@dataclasses.dataclass(frozen=True)
class Plan:
    """The share that is pruned at each time at which masks are chosen.

    Args:
        begin: The update, from 0, at which masks are chosen first.
        frequency: Updates from one time to the next.
        rates: The share at each time; the last one stays.
    """

    begin: int
    frequency: int
    rates: tuple[float, ...]

    @property
    def end(self) -> int:
        """The update, from 0, behind which the masks do not change any more."""
        return self.begin + self.frequency * (len(self.rates) - 1)


def cubic(rate: float, begin: int, end: int, frequency: int | None = None) -> Plan:
    """The schedule of Zhu and Gupta 2017, "To prune, or not to prune", equation 1.

    The share rises as 1 - (1 - t)^3 over the time t from 0 to 1: fast while there is
    much to choose from, and slowly at the end.

    Args:
        rate: The final share, above 0 and below 1.
        begin: The update at which the first weights go, from 0.
        end: The update at which the last ones go.
        frequency: Updates from one time to the next; None: about 20 times in all.

    Raises:
        RefusedError: Naming each argument that is wrong.
    """
    problems = []
    if not (isinstance(rate, float | int) and 0 < rate < 1):
        problems.append(
            f"rate: expected a number above 0 and below 1, the share that is pruned. "
            f"Received: {rate!r}"
        )
    if not 0 <= begin <= end:
        problems.append(
            "begin and end: expected updates, 0 <= begin <= end. Received: "
            f"begin={begin!r}, end={end!r}"
        )
    if frequency is not None and frequency < 1:
        problems.append(f"frequency: expected at least 1. Received: {frequency!r}")
    if problems:
        raise RefusedError(problems, heading="pruning")
    frequency = frequency or max(1, (end - begin) // _TIMES)
    times = max(1, (end - begin) // frequency)
    # The first time is that at which something goes: rate 0 is of before.
    rates = tuple(rate * (1 - (1 - i / times) ** 3) for i in range(1, times + 1))
    return Plan(begin, frequency, rates)
