"""What steps cost in epsilon, by two accountants of dp-accounting; the larger counts.

The one composes distributions of the privacy loss (PLD), and knows that a batch has a
limit; the other Renyi divergences (RDP), and does not. Both bound the same from above,
for data sets of which one has an example more than the other.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

from kerascale.errors import RefusedError

# Of privacy losses: they are rounded up to it, so that epsilon is one from above.
_INTERVAL = 1e-3
_MOST_NOISE = 1000.0


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """What one step does.

    Args:
        noise_multiplier: Deviation of the noise, in units of the clipping norm.
        num_examples: That could come into a batch.
        batch_size: How many come on the average.
        limit: How many come at most; as many as there are: there is no limit.
    """

    noise_multiplier: float
    num_examples: int
    batch_size: float
    limit: int

    @property
    def probability(self) -> float:
        """That an example comes into a batch."""
        return self.batch_size / self.num_examples


# Steps of each mechanism that was run.
Spent = Sequence[tuple[Mechanism, int]]


@dataclasses.dataclass(frozen=True)
class Price:
    """Epsilon by either accountant."""

    pld: float
    rdp: float

    @property
    def epsilon(self) -> float:
        """The larger one."""
        return max(self.pld, self.rdp)


def price(spent: Spent, delta: float) -> Price:
    """What steps have cost.

    Args:
        spent: Mechanisms, and how many steps each was run.
        delta: Above 0 and below 1.
    """
    counts: dict[Mechanism, int] = {}
    for mechanism, steps in spent:
        if steps:
            counts[mechanism] = counts.get(mechanism, 0) + steps
    if not counts:
        return Price(0.0, 0.0)
    if any(mechanism.noise_multiplier == 0 for mechanism in counts):
        return Price(math.inf, math.inf)
    pairs = tuple(counts.items())
    return Price(_pld(pairs, delta), _rdp(pairs, delta))


@functools.lru_cache(maxsize=64)
def _single(mechanism: Mechanism) -> Any:
    from dp_accounting.pld import privacy_loss_distribution

    if mechanism.limit >= mechanism.num_examples:
        return privacy_loss_distribution.from_gaussian_mechanism(
            standard_deviation=mechanism.noise_multiplier,
            sampling_prob=min(1.0, mechanism.probability),
            value_discretization_interval=_INTERVAL,
        )
    make = privacy_loss_distribution.from_truncated_subsampled_gaussian_mechanism
    return make(
        dataset_size=mechanism.num_examples,
        sampling_probability=mechanism.probability,
        truncated_batch_size=mechanism.limit,
        noise_multiplier=mechanism.noise_multiplier,
        value_discretization_interval=_INTERVAL,
    )


@functools.lru_cache(maxsize=256)
def _pld(pairs: tuple[tuple[Mechanism, int], ...], delta: float) -> float:
    found = [_single(mechanism).self_compose(steps) for mechanism, steps in pairs]
    whole = functools.reduce(lambda a, b: a.compose(b), found)
    return float(whole.get_epsilon_for_delta(delta))


@functools.lru_cache(maxsize=256)
def _rdp(pairs: tuple[tuple[Mechanism, int], ...], delta: float) -> float:
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant()
    for mechanism, steps in pairs:
        gaussian = dp_event.GaussianDpEvent(mechanism.noise_multiplier)
        if mechanism.probability < 1:
            gaussian = dp_event.PoissonSampledDpEvent(mechanism.probability, gaussian)
        accountant.compose(gaussian, steps)
    return float(accountant.get_epsilon(delta))


def noise_for(epsilon: float, delta: float, steps: int, mechanism: Mechanism) -> float:
    """The smallest noise multiplier with which so many steps cost no more.

    Args:
        epsilon: The budget.
        delta: Above 0 and below 1.
        steps: Of the whole training.
        mechanism: Whose noise is sought.

    Returns:
        Rounded up to three digits behind the point.

    Raises:
        RefusedError: If there is none that is of any use.
    """

    def cost(noise: float) -> float:
        own = dataclasses.replace(mechanism, noise_multiplier=noise)
        return _rdp(((own, steps),), delta)

    low, high = 0.2, 1.0
    while cost(high) > epsilon:
        low, high = high, 2 * high
        if high > _MOST_NOISE:
            raise RefusedError(
                f"dp_epsilon: expected a budget that some noise keeps. Received: "
                f"{epsilon:g} for {steps} steps at delta {delta:g}. Train for fewer "
                "steps, on more data, or with a larger budget."
            )
    while high - low > 5e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) > epsilon else (low, middle)
    noise = math.ceil(high * 1000) / 1000
    while True:
        own = dataclasses.replace(mechanism, noise_multiplier=noise)
        if price([(own, steps)], delta).epsilon <= epsilon:
            return noise
        noise = round(noise + 0.001, 3)


def steps_within(
    epsilon: float, delta: float, spent: Spent, mechanism: Mechanism, most: int
) -> int:
    """How many more steps a budget allows.

    Args:
        epsilon: The budget.
        delta: Above 0 and below 1.
        spent: What was run before.
        mechanism: Of the steps to come.
        most: More are not asked for.
    """

    def fits(steps: int) -> bool:
        return price([*spent, (mechanism, steps)], delta).epsilon <= epsilon

    if fits(most):
        return most
    low, high = 0, most
    if not fits(0):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def default_delta(num_examples: int) -> float:
    """The largest power of ten that is at most one in as many examples."""
    return 10.0 ** -math.ceil(math.log10(max(10, num_examples)) - 1e-12)
