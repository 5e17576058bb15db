"""The learning-rate range test: which rates make the loss fall, and where it rises.

The rate grows from batch to batch by the same factor, and the loss of each batch is
recorded: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
section 3.3; here with an exponential growth and a smoothed loss.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

# The mean of losses, whose weights fall by this factor.
_SMOOTHING = 0.95
# Where the smoothed loss is this many times its smallest, the rate is far too large.
_TOO_LARGE = 4.0
LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 150


@dataclasses.dataclass(frozen=True)
class RateFound:
    """What a range test has found.

    Args:
        rates: The rate of each batch.
        losses: The smoothed loss behind it.
        steepest: The rate at which the loss falls fastest.
        smallest: The rate with the smallest loss: it is already too large.
        suggested: A tenth of that: the highest rate of a training.
        has_fallen: Whether the loss has come down at all.
    """

    rates: list[float]
    losses: list[float]
    steepest: float
    smallest: float
    suggested: float
    has_fallen: bool


def rates(steps: int = STEPS) -> list[float]:
    """The rate of each batch."""
    factor = (HIGHEST / LOWEST) ** (1 / (steps - 1))
    return [LOWEST * factor**i for i in range(steps)]


def smoothed(losses: Sequence[float]) -> list[float]:
    """The mean of the losses until each, in which later ones count more."""
    found, mean, weight = [], 0.0, 0.0
    for loss in losses:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        found.append(mean / weight)
    return found


def is_over(losses: Sequence[float]) -> bool:
    """Whether a test need not go on: the loss is infinite, or far above its least."""
    if losses and not math.isfinite(losses[-1]):
        return True
    # The first batches say little.
    if len(losses) < STEPS // 5:
        return False
    means = smoothed(losses)
    return means[-1] > _TOO_LARGE * min(means)


def judge(losses: Sequence[float]) -> RateFound:
    """What the losses of the batches say.

    Args:
        losses: One for each batch, as many as there were.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    used, means = rates()[: len(finite)], smoothed(finite)
    place = min(range(len(means)), key=means.__getitem__)
    # Slopes over a tenth of the test: those between neighbours are noise.
    width = max(1, STEPS // 10)
    slopes = {i: means[i] - means[i - width] for i in range(width, place + 1)}
    steepest = min(slopes, key=slopes.__getitem__) if slopes else place
    first = means[min(width, len(means) - 1)]
    return RateFound(
        rates=used,
        losses=means,
        steepest=used[max(0, steepest - width // 2)],
        smallest=used[place],
        suggested=float(f"{used[place] / 10:.1e}"),
        has_fallen=means[place] < 0.95 * first,
    )


def batches(train: Any) -> Iterator[Any]:
    """Batches of one epoch after the other."""
    while True:
        yield from train.dataset()


def text(found: RateFound) -> str:
    """What was found, as a person reads it on a terminal."""
    if not found.has_fallen:
        return (
            "The loss came down at no rate: look at the labels, the loss and the "
            "normalization of the inputs (kerascale train RECIPE --overfit-batches 1)."
        )
    return (
        f"The loss falls fastest at {found.steepest:.1e}, and is smallest at "
        f"{found.smallest:.1e}, beyond which it rises.\n"
        f"Try --learning-rate {found.suggested:g}, or search around it: "
        f"--field learning_rate=log:{found.suggested / 10:.0e}..{found.smallest:.0e}"
    )
