"""Whether a trial goes on: by the trials long before it, so that the answer is one.

A pruner of Optuna compares a trial with whatever has been reported by that time. Here
it sees the trials whose results were known when the trial was asked for, and no other:
the same trials are pruned however many run at once.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

Pruner = Literal["hyperband", "median", "none"]

# Where a trial keeps what Optuna's successive halving has noted of it.
RUNGS = "rungs"
_RUNG = "completed_rung_"
_REDUCTION = 3


class Pruning:
    """The decisions about one trial.

    Args:
        pruner: Who decides.
        number: Of the trial.
        steps: How many values it reports at most: epochs, or folds.
        direction: Which values are better.
        concurrency: How many trials may run at once.
        result: Gives the ended trial of a number, as the study has it.
    """

    def __init__(
        self,
        pruner: Pruner,
        number: int,
        steps: int,
        direction: Literal["min", "max"],
        concurrency: int,
        result: Callable[[int], FrozenTrial],
    ) -> None:
        self._trial = None
        self._known: set[int] = set()
        if pruner == "none":
            return
        with warnings.catch_warnings(action="ignore"):
            study = optuna.create_study(
                # Hyperband's brackets follow from it.
                study_name="kerascale",
                sampler=optuna.samplers.RandomSampler(seed=0),
                pruner=_pruner(pruner, steps),
                direction="minimize" if direction == "min" else "maximize",
            )
            for other in range(number):
                is_known = other <= number - concurrency
                study.add_trial(_copy(result(other)) if is_known else _unknown())
            self._trial = study.ask()
        self._study = study

    def goes_on(self, step: int, value: float) -> bool:
        """Whether a trial goes on behind a step, from 1.

        Args:
            step: The epoch, or the number of folds.
            value: What it has reached.
        """
        if self._trial is None or step in self._known:
            return True
        self._known.add(step)
        with warnings.catch_warnings(action="ignore"):
            self._trial.report(value, step)
            return not self._trial.should_prune()

    @property
    def rungs(self) -> dict[str, float]:
        """What successive halving has noted; later trials are compared with it."""
        if self._trial is None:
            return {}
        attributes = self._study.get_trials(deepcopy=False)[-1].system_attrs
        return {n: v for n, v in attributes.items() if n.startswith(_RUNG)}


def _pruner(name: Pruner, steps: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    return optuna.pruners.HyperbandPruner(
        min_resource=1, max_resource=max(1, steps), reduction_factor=_REDUCTION
    )


def _copy(trial: FrozenTrial) -> FrozenTrial:
    attributes: dict[str, Any] = trial.user_attrs.get(RUNGS) or {}
    is_complete = trial.state == TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=trial.state,
        value=trial.value if is_complete else None,
        intermediate_values=trial.intermediate_values,
        system_attrs=attributes,
    )


def _unknown() -> FrozenTrial:
    return optuna.trial.create_trial(state=TrialState.FAIL)
