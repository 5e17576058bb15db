"""What is said about the rounds: medians, quartiles, ratios, equal learning."""

import dataclasses
import random
import statistics
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median and the quartiles around it."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if not values:
            raise ValueError("values: expected at least one. Received: none.")
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)


def ratios(rates: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """Each contender's rate over that of the one with the best median.

    They are compared round by round, so that what slows a whole round slows both.

    Args:
        rates: Name -> rate of each round; all with the same rounds.
    """
    if not rates:
        return {}
    best = max(rates, key=lambda name: statistics.median(rates[name]))
    return {
        name: Spread.of([a / b for a, b in zip(own, rates[best], strict=True)])
        for name, own in rates.items()
    }


def shuffled_rounds(names: Sequence[str], num: int, seed: int) -> list[list[str]]:
    """Each round's order: every name once, the same for the same seed."""
    generator = random.Random(seed)
    return [generator.sample(list(names), len(names)) for _ in range(num)]


def epochs_for(seconds: float, seconds_per_epoch: float) -> int:
    """Whole epochs of at least so many seconds, one at least."""
    return max(1, -int(-seconds // seconds_per_epoch))


def entry_seconds(one_epoch: float, two_epochs: float) -> float:
    """What a call costs beside its epochs, from calls of one and of two."""
    return max(0.0, 2 * one_epoch - two_epochs)


def who_learned_otherwise(
    losses: Mapping[str, float], *, tolerance: float, chance: float
) -> dict[str, str]:
    """Name -> what is wrong with its loss after the same steps.

    Args:
        losses: Name -> loss.
        tolerance: Largest relative distance from the median of those who learned.
        chance: The loss of who has learned nothing.
    """
    learned = {name: loss for name, loss in losses.items() if loss < chance}
    found = {
        name: f"loss {loss:.4g}: nothing learned (chance is {chance:.4g})"
        for name, loss in losses.items()
        if name not in learned
    }
    if learned:
        middle = statistics.median(learned.values())
        for name, loss in learned.items():
            if abs(loss - middle) > tolerance * middle:
                found[name] = f"loss {loss:.4g}, where the median is {middle:.4g}"
    return found


@dataclasses.dataclass(frozen=True)
class Interval:
    """Steps between two callbacks.

    Args:
        steps: How many.
        seconds: How long they took, without what the callback itself did.
        writing_seconds: For how long of it a checkpoint was being written.
    """

    steps: int
    seconds: float
    writing_seconds: float


def slowdown_while_writing(
    intervals: Sequence[Interval], step_seconds: float
) -> float | None:
    """Step time while a checkpoint is written, over the undisturbed step time.

    An interval may be longer than the writing: for the rest of it steps are taken to
    be undisturbed, and what is lost is charged to the writing.

    Args:
        intervals: All of them.
        step_seconds: Undisturbed.

    Returns:
        The factor; None if nothing was written.
    """
    touched = [each for each in intervals if each.writing_seconds > 0]
    writing = sum(each.writing_seconds for each in touched)
    if not writing:
        return None
    undisturbed = sum(each.seconds - each.writing_seconds for each in touched)
    # Steps that were made while it was written.
    steps = sum(each.steps for each in touched) - undisturbed / step_seconds
    return writing / (steps * step_seconds) if steps > 0 else float("inf")
