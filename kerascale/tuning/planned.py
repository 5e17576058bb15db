"""Which values a trial has: a function of the seed and of the trials long before it.

Optuna's samplers have a memory, and see whatever has ended by the time they are asked.
So they are asked in a study of their own, in memory, in which things happen in one
order however many trials run at once: trial N is asked for when the results of all but
the last `concurrency - 1` trials before it are known, and of no other. A command that
goes on asks once more for all that was asked for, and comes to the same.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from kerascale.errors import RefusedError
from kerascale.tuning.space import Dimension

Sampler = Literal["tpe", "random", "grid", "cmaes"]

# Those whose trials do not depend on results.
BLIND = ("random", "grid")


# What Optuna says of each study is no news to who searches.
optuna.logging.set_verbosity(optuna.logging.ERROR)


def is_known(number: int, concurrency: int, ended: Callable[[int], bool]) -> bool:
    """Whether all has ended by which a trial is chosen, or pruned.

    Args:
        number: Of the trial.
        concurrency: How many trials may run at once.
        ended: Whether the trial of a number has ended.
    """
    return all(map(ended, range(max(0, number - concurrency + 1))))


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna calls the values of a field."""
    if dimension.choices:
        return CategoricalDistribution(dimension.listed)
    low, high, log = dimension.low, dimension.high, dimension.log
    if dimension.is_integer:
        return IntDistribution(low, high, log=log, step=int(dimension.step or 1))
    return FloatDistribution(low, high, log=log, step=dimension.step)


def grid_size(dimensions: Sequence[Dimension]) -> int:
    """How many trials a grid has.

    Raises:
        RefusedError: Naming each field whose values have no end.
    """
    endless = [d.name for d in dimensions if d.listed is None]
    if endless:
        raise RefusedError(
            "--sampler grid: expected values in brackets, or a range with a /STEP, "
            f"for {', '.join(endless)}. Received: a range without one."
        )
    return math.prod(len(d.listed) for d in dimensions)


class Plan:
    """The values of each trial.

    Args:
        dimensions: What is searched.
        sampler: Who chooses.
        seed: Decides what is drawn.
        direction: Which scores are better.
        concurrency: How many trials may run at once.
        result: Gives the ended trial of a number, as the study has it.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        sampler: Sampler,
        seed: int,
        direction: Literal["min", "max"],
        concurrency: int,
        result: Callable[[int], FrozenTrial],
    ) -> None:
        self.dimensions = tuple(dimensions)
        self._distributions = {d.name: distribution(d) for d in dimensions}
        self._is_blind = sampler in BLIND
        self._concurrency = concurrency
        self._result = result
        self._asked: list[optuna.Trial] = []
        seed %= 2**32
        with warnings.catch_warnings(action="ignore"):
            self._shadow = optuna.create_study(
                sampler=_sampler(sampler, dimensions, seed),
                direction="minimize" if direction == "min" else "maximize",
            )

    def params(self, number: int) -> dict[str, Any]:
        """The values of a trial, as Optuna has them.

        All trials but the last `concurrency - 1` before it must have ended.
        """
        while len(self._asked) <= number:
            self._ask()
        return self._asked[number].params

    def _ask(self) -> None:
        number = len(self._asked)
        told = number - self._concurrency
        with warnings.catch_warnings(action="ignore"):
            if told >= 0 and not self._is_blind:
                self._tell(told)
            self._asked.append(self._shadow.ask(self._distributions))

    def _tell(self, number: int) -> None:
        result, asked = self._result(number), self._asked[number]
        for step, value in sorted(result.intermediate_values.items()):
            asked.report(value, step)
        if result.state == TrialState.COMPLETE:
            self._shadow.tell(asked, result.value)
        else:
            self._shadow.tell(asked, state=result.state)


class _FieldByField(optuna.samplers.BaseSampler):
    """A sampler that is asked for each field alone."""

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict:
        return {}

    def sample_relative(
        self, study: Any, trial: FrozenTrial, search_space: Any
    ) -> dict:
        return {}


class Planned(_FieldByField):
    """Gives a study's trials the values of a plan.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def sample_independent(
        self,
        study: Any,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._plan.params(trial.number)[param_name]


def _sampler(
    name: Sampler, dimensions: Sequence[Dimension], seed: int
) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "grid":
        return _Grid(dimensions)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(
            seed=seed,
            independent_sampler=optuna.samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
            # A search in which most are pruned would learn nothing else.
            consider_pruned_trials=True,
        )
    return optuna.samplers.TPESampler(seed=seed)


class _Grid(_FieldByField):
    """Each combination once, the last field changing fastest.

    Optuna's own draws which of those that are left, and tries some of them twice where
    several processes draw.
    """

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        names = [dimension.name for dimension in dimensions]
        listed = [dimension.listed for dimension in dimensions]
        self._all = [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*listed)
        ]

    def sample_independent(
        self,
        study: Any,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._all[trial.number][param_name]
