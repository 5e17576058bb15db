"""Whether two runs differ by more than the order in which numbers are added."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kerascale.reporting.run_record import Recorded

# Forms of execution and numbers of replicas add the same numbers in another order. In
# float32 that is 1e-7 a step, which training enlarges: 4e-4 was seen between runs of
# `cnn` whose initial weights differ in the last digit (docs/parity.md). What is wrong
# in the sum of replicas is a whole share of it. In 16 bits 1.2e-3 was seen of `cnn` on
# one and on two replicas, in float64 5e-16.
BOUNDS = {"float64": 1e-9, "float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-2}
# Later ones tell nothing: training enlarges rounding with every step, and where a unit
# dies in one run and not in the other, at once. An `mlp` on MNIST was 1e-8 apart over
# 200 steps, 1e-4 over 400, and 5e-3 over 3,000.
STEPS = 100

_FIELDS = ("execution", "steps_per_execution")


@dataclasses.dataclass(frozen=True)
class Rounding:
    """Two runs that were told the same, and were executed in another way.

    Args:
        names: In what they differ: of execution, and of what a run records as its
            hardware: strategy, replicas, workers, mesh and remat.
        relative: The largest difference of their mean losses over the first steps.
        steps: How many steps that are: at most `STEPS`, or as few as were recorded.
        dtype: In which both computed.
    """

    names: list[str]
    relative: float
    steps: int
    dtype: str = "float32"

    @property
    def bound(self) -> float:
        """What rounding may make of it."""
        return BOUNDS[self.dtype]

    @property
    def is_within(self) -> bool:
        """Whether rounding explains the difference."""
        return self.relative <= self.bound

    def text(self, label: str) -> str:
        """The same in words.

        Args:
            label: The run that is compared with A.
        """
        where = "step" if self.steps == 1 else f"{self.steps} steps"
        what = (
            f"{' and '.join(self.names)} alone, and their mean losses of the first "
            f"{where} {f'by {self.relative:.1e}' if self.relative else 'not at all'}"
        )
        limit = f"relative; in {self.dtype} up to {self.bound:g} is rounding"
        if self.is_within:
            return (
                f"A and {label} are the same within rounding: they differ in {what} "
                f"({limit}). Training enlarges it with every step."
            )
        return (
            f"A and {label} differ by more than rounding: in {what} ({limit}). "
            "kerascale verify tells where."
        )


def find_rounding(
    differences: Sequence[tuple[str, str]], ours: Recorded, theirs: Recorded
) -> Rounding | None:
    """What there is to say of two runs; None if they differ in anything else.

    Args:
        differences: What is not the same in them, as (what it is about, name).
        ours: One run.
        theirs: The other one.
    """
    names = [name for about, name in differences if _is_execution(about, name)]
    if not names or len(names) < len(differences) or ours.compute_dtype not in BOUNDS:
        return None
    pairs = _pairs(ours, theirs)
    if not pairs:
        return None
    relative = max(_relative(*losses) for _, *losses in pairs)
    return Rounding(names, relative, max(p[0] for p in pairs), ours.compute_dtype)


def _is_execution(about: str, name: str) -> bool:
    return about == "hardware" or (about in ("field", "chosen") and name in _FIELDS)


def _pairs(ours: Recorded, theirs: Recorded) -> list[tuple[int, float, float]]:
    """Mean losses over the same first steps of both: (last of these steps, losses)."""
    steps = min(STEPS, len(ours.losses), len(theirs.losses))
    if steps and ours.knows_first_losses and theirs.knows_first_losses:
        return [(steps, *(float(np.mean(r.losses[:steps])) for r in (ours, theirs)))]
    one, other = _means(ours, theirs), _means(theirs, ours)
    common = sorted((step, epoch) for epoch, step in one.keys() & other.keys())
    # Those of single replicas know each step; else the first that both have recorded.
    near = [each for each in common if each[0] <= STEPS] or common[:1]
    # Of each epoch the longest mean: the first steps alone say less.
    last = {epoch: step for step, epoch in near}
    return [
        (step, one[epoch, step], other[epoch, step]) for epoch, step in last.items()
    ]


def _means(run: Recorded, other: Recorded) -> dict[tuple[int, int], float]:
    """(epoch, step) -> mean loss since the epoch began."""
    means = _recorded(run)
    if run.knows_first_losses:
        # It can say it of any step that the other one has recorded, but for the end of
        # an epoch, where a smaller batch counts less.
        ends = {int(record["step"]) for record in other.epochs}
        for epoch, step in _recorded(other).keys() - means.keys():
            begin = _before(other, epoch)
            is_known = begin is not None and begin < step <= len(run.losses)
            if is_known and step not in ends:
                means[epoch, step] = float(np.mean(run.losses[begin:step]))
    return means


def _recorded(run: Recorded) -> dict[tuple[int, int], float]:
    records = [*run.intervals, *run.epochs]
    return {
        (int(r["epoch"]), int(r["step"])): float(r["loss"])
        for r in records
        if "loss" in r
    }


def _before(run: Recorded, epoch: int) -> int | None:
    """Steps before an epoch; None: it is not known.

    Where gradients are accumulated, records count updates, and losses batches.
    """
    if run.fields.get("gradient_accumulation_steps", 1) != 1:
        return None
    ends = {int(r["epoch"]): int(r["step"]) for r in run.epochs}
    return 0 if epoch == 1 else ends.get(epoch - 1)


def _relative(one: float, other: float) -> float:
    if one == other:
        return 0.0
    found = abs(one - other) / max(abs(one), abs(other))
    return found if math.isfinite(found) else math.inf
