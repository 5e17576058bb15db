"""Runs side by side: what was told them, what came of it, and where they part."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.config.provenance import AUTOMATIC
from kerascale.errors import RefusedError
from kerascale.reporting.rounding import Rounding, find_rounding
from kerascale.reporting.run_record import Recorded

MOST_RUNS = 8
# Of one letter each, so that a figure's legend stays short.
LABELS = "ABCDEFGH"

# What the run folder alone decides, or the clock.
_NOT_COMPARED = ("seconds", "examples_per_second")


@dataclasses.dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs.

    Args:
        about: `recipe`, `field`, `chosen` (a field that a run has chosen by itself),
            `data`, `hardware`, `precision`, `check`, `initial weights` or `version`.
        name: Which one.
        values: One for each run; None where a run has none.
    """

    about: str
    name: str
    values: list[Any]


@dataclasses.dataclass(frozen=True)
class Parting:
    """Where the losses of a run leave those of the first one.

    Args:
        label: The run.
        step: The first step whose losses differ; None: there is none that both have
            recorded.
        step_losses: The two losses of that step.
        steps: How many steps were compared.
        epoch: The first epoch whose losses differ; None: there is none that both have.
        after_step: Batches after which they were still the same; None: as `epoch`.
        by_step: Batches after which they differed; None: as `epoch`.
        losses: Name -> the two values in that epoch.
        epochs: How many epochs were compared.
        rounding: The size of the difference, where the runs were executed in another
            way and are else the same; None: they differ in more, or in nothing.
    """

    label: str
    step: int | None
    step_losses: list[float]
    steps: int
    epoch: int | None
    after_step: int | None
    by_step: int | None
    losses: dict[str, list[float]]
    epochs: int
    rounding: Rounding | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Args:
        runs: The runs, the first of which the others are compared with.
        differences: What was told them, and is not the same.
        results: Metric of the final evaluation -> one value for each run.
        partings: One for each run but the first.
        identical: Whether nothing differs: neither what was told nor any number that
            was recorded.
    """

    runs: list[Recorded]
    differences: list[Difference]
    results: dict[str, list[Any]]
    partings: list[Parting]
    identical: bool

    @property
    def labels(self) -> list[str]:
        return list(LABELS[: len(self.runs)])

    @property
    def verdict(self) -> str:
        """What a reader wants to know first, in one or two sentences."""
        return _verdict(self)


def compare(runs: Sequence[Recorded]) -> Comparison:
    """Compares runs by what they have recorded.

    Args:
        runs: Two of them, or more.

    Raises:
        RefusedError: If there are fewer than two, or too many to be told apart.
    """
    if not 2 <= len(runs) <= MOST_RUNS:
        raise RefusedError(
            f"compare: expected 2 to {MOST_RUNS} runs. Received: {len(runs)}."
        )
    runs = list(runs)
    first = runs[0]
    partings = [
        _part(first, run, label)
        for run, label in zip(runs[1:], LABELS[1:], strict=False)
    ]
    differences = _differences(runs)
    same_numbers = all(
        _numbers(run) == _numbers(first)
        and run.evaluation == first.evaluation
        and np.array_equal(run.losses, first.losses, equal_nan=True)
        for run in runs
    )
    return Comparison(
        runs=runs,
        differences=differences,
        results=_rows([run.results for run in runs]),
        partings=partings,
        identical=not differences and same_numbers,
    )


def _differences(runs: Sequence[Recorded]) -> list[Difference]:
    automatic = {n for run in runs for n, o in run.origins.items() if o == AUTOMATIC}
    found = _unequal("recipe", [{"recipe": run.recipe} for run in runs])
    for each in _unequal("field", [run.fields for run in runs]):
        about = "chosen" if each.name in automatic else "field"
        found.append(dataclasses.replace(each, about=about))
    weights = ("init_from", "init_partial", "init_sha256")
    return [
        *found,
        *_unequal("data", [run.config["data"] for run in runs]),
        *_unequal(
            "initial weights", [{n: r.config.get(n) for n in weights} for r in runs]
        ),
        *_unequal("hardware", [run.hardware for run in runs]),
        *_unequal("precision", [{"compute dtype": run.compute_dtype} for run in runs]),
        *_unequal("check", [{"that slices are the batch": _check(r)} for r in runs]),
        *_unequal("version", [_versions(run) for run in runs]),
    ]


def _check(run: Recorded) -> str:
    # Runs of before do not say it.
    return run.config.get("check", "first_step")


def _versions(run: Recorded) -> dict[str, Any]:
    return {**run.versions, "git revision": run.config.get("git_revision")}


def _unequal(about: str, named: Sequence[Mapping[str, Any]]) -> list[Difference]:
    return [
        Difference(about, name, values)
        for name, values in _rows(named).items()
        if any(value != values[0] for value in values)
    ]


def _rows(named: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Name -> its value in each run, in the order in which the names come."""
    names = dict.fromkeys(name for values in named for name in values)
    return {name: [values.get(name) for values in named] for name in names}


def _numbers(run: Recorded) -> list[dict[str, str]]:
    """What was recorded of each epoch; as text, in which NaN equals itself."""
    return [
        {n: repr(v) for n, v in record.items() if n not in _NOT_COMPARED}
        for record in run.epochs
    ]


def _part(first: Recorded, run: Recorded, label: str) -> Parting:
    by_step = _part_by_step(first.losses, run.losses)
    about = [(each.about, each.name) for each in _differences([first, run])]
    found = find_rounding(about, first, run)
    return Parting(label, *by_step, *_part_by_epoch(first, run), found)


def _part_by_step(
    ours: np.ndarray, theirs: np.ndarray
) -> tuple[int | None, list[float], int]:
    """The first step that differs, its losses, and how many were compared."""
    steps = min(len(ours), len(theirs))
    ours, theirs = ours[:steps], theirs[:steps]
    known = ~(np.isnan(ours) | np.isnan(theirs))
    differ = np.flatnonzero(known & (ours != theirs))
    if not len(differ):
        return None, [], int(known.sum())
    place = int(differ[0])
    return place + 1, [float(ours[place]), float(theirs[place])], int(known.sum())


def _part_by_epoch(
    first: Recorded, run: Recorded
) -> tuple[int | None, int | None, int | None, dict[str, list[float]], int]:
    """The first epoch that differs, and the rest of what `Parting` has of it."""
    pairs = list(zip(first.epochs, run.epochs, strict=False))
    after = 0
    for ours, theirs in pairs:
        names = [n for n in ("loss", "val_loss") if n in ours or n in theirs]
        losses = {n: [ours.get(n), theirs.get(n)] for n in names}
        if any(repr(one) != repr(other) for one, other in losses.values()):
            by = min(int(ours["step"]), int(theirs["step"]))
            return int(ours["epoch"]), after, by, losses, len(pairs)
        after = int(ours["step"])
    return None, None, None, {}, len(pairs)


def _verdict(comparison: Comparison) -> str:
    if comparison.identical:
        return (
            "The runs are identical: recipe, configuration, data, versions, and every "
            "number that was recorded."
        )
    asked = [each for each in comparison.differences if each.about != "chosen"]
    if len(asked) == 1:
        text = f"The runs differ in one thing: {describe(asked[0])}."
    elif asked:
        names = ", ".join(f"{d.about} {d.name}" for d in asked)
        text = f"The runs differ in {len(asked)} things: {names}."
    elif comparison.differences:
        names = ", ".join(describe(d) for d in comparison.differences)
        text = f"The runs differ in what they have chosen by themselves: {names}."
    else:
        text = "The runs were told the same, in all that is recorded."
    return f"{text} {' '.join(map(say_parting, comparison.partings))}"


def describe(difference: Difference) -> str:
    """A difference in words: `the field seed: A 0, B 1`."""
    about = "" if difference.about == difference.name else f"{difference.about} "
    values = ", ".join(
        f"{label} {value if value is not None else 'none'}"
        for label, value in zip(LABELS, difference.values, strict=False)
    )
    return f"the {about}{difference.name} ({values})"


def say_parting(parting: Parting) -> str:
    """Where a run parts from the first one, in words, and by how much if that tells."""
    text = _say_where(parting)
    if parting.rounding is None or (parting.step is None and parting.epoch is None):
        return text
    return f"{text} {parting.rounding.text(parting.label)}"


def _say_where(parting: Parting) -> str:
    by_step = parting.step is not None
    if by_step and (parting.epoch is None or parting.step <= parting.by_step):
        one, other = parting.step_losses
        return (
            f"The losses of A and {parting.label} part at step {parting.step}: "
            f"{one!r} and {other!r}."
        )
    if not parting.epochs:
        return f"A and {parting.label} have no epoch in common."
    if parting.epoch is None:
        return (
            f"The losses of A and {parting.label} are the same in all {parting.epochs} "
            "epochs that both have."
        )
    return (
        f"The losses of A and {parting.label} part in epoch {parting.epoch}, between "
        f"step {parting.after_step} and step {parting.by_step}."
    )
