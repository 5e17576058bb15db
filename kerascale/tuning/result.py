"""What came of a search: the best configuration, and of how many it is the best."""

import dataclasses
import pathlib
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kerascale.config.fields import to_dict
from kerascale.runtime.console import counted, duration
from kerascale.tuning.search import best_of
from kerascale.tuning.space import values_of
from kerascale.tuning.study import Study, best_epoch_of, reason_of
from kerascale.tuning.wishes import Search

_KINDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
# Reasons of failed trials that are shown.
_MOST_REASONS = 5


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    Args:
        number: From 0.
        fields: Its values of what is searched.
        kind: `complete`, `pruned`, `failed` or `running`.
        score: Of the objective; None: it has none.
        reason: Why it failed.
        curve: What it had reached after each epoch, or each fold.
        best_epoch: From 1: the epoch with its score.
    """

    number: int
    fields: dict[str, Any]
    kind: str
    score: float | None
    reason: str
    curve: dict[int, float]
    best_epoch: int | None


@dataclasses.dataclass(frozen=True)
class Found:
    """A search that was made.

    Args:
        search: What was searched.
        path: Its folder.
        trials: All trials.
        best: The best one; None: all of them failed.
        importances: Field -> share of what decided the score.
        seconds: How long this command took.
    """

    search: Search
    path: pathlib.Path
    trials: list[Trial]
    best: Trial | None
    importances: dict[str, float]
    seconds: float

    def count(self, kind: str) -> int:
        """How many trials ended so."""
        return sum(trial.kind == kind for trial in self.trials)

    def run_dir(self, trial: Trial) -> pathlib.Path:
        """The run folder of a trial."""
        return self.path / "trials" / f"{trial.number:04d}"


def of(study: Study, seconds: float) -> Found:
    """What came of a study."""
    frozen = study.trials()
    trials = [_trial(study.search, each) for each in frozen]
    best = best_of(frozen, study.search.objective.mode)
    return Found(
        search=study.search,
        path=study.folder.path,
        trials=trials,
        best=None if best is None else trials[best.number],
        importances=study.importances(),
        seconds=seconds,
    )


def _trial(search: Search, frozen: FrozenTrial) -> Trial:
    known = set(frozen.params) >= {d.name for d in search.dimensions}
    fields = values_of(search.dimensions, frozen.params) if known else {}
    is_complete = frozen.state == TrialState.COMPLETE
    return Trial(
        number=frozen.number,
        fields={n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()},
        kind=_KINDS.get(frozen.state, "running"),
        score=frozen.value if is_complete else None,
        reason=reason_of(frozen),
        curve=dict(sorted(frozen.intermediate_values.items())),
        best_epoch=best_epoch_of(frozen),
    )


def to_json(found: Found) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "recipe": found.search.recipe.name,
        "study": str(found.path),
        "objective": found.search.objective.name,
        "tried": len(found.trials),
        **{kind: found.count(kind) for kind in ("complete", "pruned", "failed")},
        "best": None if found.best is None else _to_json(found.best),
        "importances": found.importances,
        "trials": [_to_json(trial) for trial in found.trials],
        "seconds": round(found.seconds, 3),
    }


def _to_json(trial: Trial) -> dict[str, Any]:
    values = dataclasses.asdict(trial)
    return {**values, "curve": list(trial.curve.items())}


def summary(found: Found) -> str:
    """How many configurations were tried, and what became of them."""
    kinds = ", ".join(f"{found.count(k)} {k}" for k in ("complete", "pruned", "failed"))
    return f"{counted(len(found.trials), 'configuration')} tried: {kinds}"


def text(found: Found, *, is_tested: bool = False) -> str:
    """What came of it, as a person reads it on a terminal.

    Args:
        found: The search.
        is_tested: Whether the best one has been tested.
    """
    lines = ["", f"{summary(found)}, in {duration(found.seconds)}"]
    reasons: dict[str, int] = {}
    for trial in found.trials:
        if trial.kind == "failed":
            reasons[trial.reason] = reasons.get(trial.reason, 0) + 1
    for reason, count in list(reasons.items())[:_MOST_REASONS]:
        lines.append(f"  failed, {counted(count, 'time')}: {reason}")
    best, objective = found.best, found.search.objective
    if best is None:
        return "\n".join([*lines, "None of them has a score."])
    lines.append(
        f"The best of {len(found.trials)}: {objective.name} {best.score:.4g}, trial "
        f"{best.number}"
    )
    width = max(map(len, best.fields))
    for name, value in best.fields.items():
        share = found.importances.get(name)
        weight = "" if share is None else f"   {share:.0%} of what decided"
        typed = _typed(value)
        lines.append(f"  {name:<{width}}  {typed:<12}{weight}".rstrip())
    if is_tested:
        return "\n".join(lines)
    lines.append(
        "It is the best by chance too: test it on examples that the search has not "
        "seen (the same command with --best)."
    )
    return "\n".join(lines)


def _typed(value: Any) -> str:
    """A value as it is typed behind its flag."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def config_of(search: Search, trial: Trial) -> dict[str, Any]:
    """The whole configuration of a trial, as plain values."""
    return {**to_dict(search.config), **trial.fields}
