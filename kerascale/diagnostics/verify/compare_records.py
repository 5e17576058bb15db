"""Compares the records of two processes, step by step."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kerascale.diagnostics.verify.records import COUNT, LOG, Record
from kerascale.diagnostics.verify.zero_gradients import LeftOut

KINDS = ("weights", "loss", "metrics", "predictions")


def tolerance(precision: str, steps: int) -> float:
    """The largest relative difference that rounding explains."""
    if precision == "float64":
        return 1e-10
    return 1e-6 if steps <= 5 else 1e-5


@dataclasses.dataclass(frozen=True)
class Difference:
    """The first place where two trainings are not the same.

    Args:
        step: From 1; 0 is before the first step.
        kind: One of `KINDS`.
        name: The variable, metric or output.
        value: The relative difference; infinite where a number is not finite.
    """

    step: int
    kind: str
    name: str
    value: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How far a training is from the reference.

    Args:
        steps: Steps that were compared.
        largest: Kind -> largest relative difference of all steps.
        first: Kind -> first difference above the limit; kinds without are left out.
        against_spread: Moving means that were compared on the scale of the spread.
    """

    steps: int
    largest: dict[str, float]
    first: dict[str, Difference]
    against_spread: tuple[str, ...] = ()


def relative(reference: np.ndarray, other: np.ndarray, least: float = 0.0) -> float:
    """max|difference| / max|reference|; absolute if the reference is all zeros.

    Args:
        reference: Numbers.
        other: Numbers of the same shape.
        least: What the difference is divided by at least.
    """
    if reference.shape != other.shape:
        return float("inf")
    if not reference.size:
        return 0.0
    reference = np.asarray(reference, np.float64)
    other = np.asarray(other, np.float64)
    with np.errstate(invalid="ignore"):
        largest = float(np.max(np.abs(reference - other)))
    if not np.isfinite(largest):
        return float("inf")
    return largest / (max(float(np.max(np.abs(reference))), least) or 1.0)


def compare(
    reference: Record,
    other: Record,
    *,
    variables: tuple[str, ...],
    limit: float,
    left_out: Mapping[int, LeftOut],
) -> Comparison:
    """Compares what two processes recorded.

    Args:
        reference: That of one device.
        other: That of another configuration.
        variables: Paths of the weights, in the model's order.
        limit: The largest relative difference that passes.
        left_out: Index of a weight -> what of it is not compared.
    """
    seen = _Seen(limit)
    steps = reference.steps()
    # Step 0 is there if the model was built before the first step.
    missing = sorted((set(steps) ^ set(other.steps())) - {0})
    if missing:
        seen.add(missing[0], "weights", "(no weights were recorded)", float("inf"))
    for step in sorted(set(steps) & set(other.steps())):
        one, two = reference.step(step), other.step(step)
        _compare_weights(seen, step, one, two, variables, left_out)
        _compare_logs(seen, step, one, two)
    last = steps[-1] if steps else 0
    one, two = reference.predictions(), other.predictions()
    for name in sorted(one.keys() | two.keys()):
        value = _of_both(one, two, name)
        seen.add(last, "predictions", f"output {name}", value)
    return Comparison(last, seen.largest, seen.first, tuple(seen.against_spread))


class _Seen:
    """Keeps the largest difference of each kind, and the first above the limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.largest = dict.fromkeys(KINDS, 0.0)
        self.first: dict[str, Difference] = {}
        self.against_spread: dict[str, None] = {}

    def add(self, step: int, kind: str, name: str, value: float) -> None:
        self.largest[kind] = max(self.largest[kind], value)
        if value > self.limit and kind not in self.first:
            self.first[kind] = Difference(step, kind, name, value)


def _compare_weights(
    seen: _Seen,
    step: int,
    one: Mapping[str, np.ndarray],
    two: Mapping[str, np.ndarray],
    variables: tuple[str, ...],
    left_out: Mapping[int, LeftOut],
) -> None:
    for index, name in enumerate(variables):
        kept = left_out[index].kept if index in left_out else np.asarray
        reference = one[str(index)]
        least = _spread(seen, index, one, variables)
        # The other devices' copies, where they are not equal.
        copies = [key for key in two if key.startswith(f"{index}/")]
        for key in (str(index), *copies):
            device = key.partition("/")[2]
            where = f" on device {device}" if device else ""
            value = two.get(key)
            difference = (
                float("inf")
                if value is None or value.shape != reference.shape
                else relative(kept(reference), kept(value), least)
            )
            seen.add(step, "weights", f"{name}{where}", difference)


def _spread(
    seen: _Seen,
    index: int,
    one: Mapping[str, np.ndarray],
    variables: tuple[str, ...],
) -> float:
    """The scale of a moving mean that is zero but for rounding; else 0.

    So it is behind a batch normalisation and a linear layer: its own size is noise,
    and what it is subtracted from is as large as the spread.
    """
    name = variables[index]
    spread_name = name.removesuffix("moving_mean") + "moving_variance"
    if not name.endswith("moving_mean") or spread_name not in variables:
        return 0.0
    variance = one[str(variables.index(spread_name))]
    spread = float(np.sqrt(np.max(np.abs(variance), initial=0.0)))
    if np.max(np.abs(one[str(index)]), initial=0.0) > seen.limit * spread:
        return 0.0
    if np.any(one[str(index)]):
        seen.against_spread[name] = None
    return spread


def _compare_logs(
    seen: _Seen,
    step: int,
    one: Mapping[str, np.ndarray],
    two: Mapping[str, np.ndarray],
) -> None:
    names = {k.removeprefix(LOG) for k in (*one, *two) if k.startswith(LOG)}
    for name in sorted(names):
        value = _of_both(one, two, LOG + name)
        count = one.get(COUNT + name)
        if count is not None and value > seen.limit and np.isfinite(value):
            # Two classes that are equally likely but for rounding: one example.
            difference = abs(float(one[LOG + name]) - float(two[LOG + name]))
            if difference * float(count) < 1.5:
                continue
        kind = "loss" if name == "loss" else "metrics"
        seen.add(step, kind, name, value)


def _of_both(
    one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray], name: str
) -> float:
    if name not in one or name not in two:
        return float("inf")
    return relative(one[name], two[name])
