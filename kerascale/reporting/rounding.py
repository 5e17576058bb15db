"""Whether two runs differ by more than the order in which numbers are added."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

# Forms of execution and numbers of replicas add the same numbers in another order. In
# float32 that is 1e-7 a step, which training enlarges: 4e-4 was seen between runs of
# `cnn` whose initial weights differ in the last digit (docs/parity.md). What is wrong
# in the sum of replicas is a whole share of it. In 16 bits 1.2e-3 was seen of `cnn` on
# one and on two replicas, in float64 5e-16.
BOUNDS = {"float64": 1e-9, "float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-2}
# Later ones tell nothing: training enlarges rounding with every step.
EPOCHS = 2

_FIELDS = ("execution", "steps_per_execution")


@dataclasses.dataclass(frozen=True)
class Rounding:
    """Two runs that were told the same, and were executed in another way.

    Args:
        names: In what they differ: of execution, strategy, replicas and workers.
        relative: The largest difference of their losses in the first epochs.
        epochs: How many epochs that are: at most `EPOCHS`.
        dtype: In which both computed.
    """

    names: list[str]
    relative: float
    epochs: int
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
        where = "epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        what = (
            f"{' and '.join(self.names)} alone, and their losses of the first {where} "
            f"{f'by {self.relative:.1e}' if self.relative else 'not at all'}"
        )
        limit = f"relative; in {self.dtype} up to {self.bound:g} is rounding"
        if self.is_within:
            return (
                f"A and {label} are the same within rounding: they differ in {what} "
                f"({limit})."
            )
        return (
            f"A and {label} differ by more than rounding: in {what} ({limit}). "
            "kerascale verify tells where."
        )


def find_rounding(
    differences: Sequence[tuple[str, str]],
    ours: Sequence[Mapping[str, float]],
    theirs: Sequence[Mapping[str, float]],
    dtype: str = "float32",
) -> Rounding | None:
    """What there is to say of two runs; None if they differ in anything else.

    Args:
        differences: What is not the same in them, as (what it is about, name).
        ours: Records of the epochs of one run.
        theirs: And of the other.
        dtype: In which both computed.
    """
    names = [name for about, name in differences if _is_execution(about, name)]
    pairs = [
        (one["loss"], other["loss"])
        for one, other in zip(ours[:EPOCHS], theirs[:EPOCHS], strict=False)
        if "loss" in one and "loss" in other
    ]
    if not names or len(names) < len(differences) or not pairs:
        return None
    if dtype not in BOUNDS:
        return None
    relative = [_relative(*pair) for pair in pairs]
    return Rounding(names, max(relative), len(pairs), dtype)


def _is_execution(about: str, name: str) -> bool:
    return about == "hardware" or (about in ("field", "chosen") and name in _FIELDS)


def _relative(one: float, other: float) -> float:
    if one == other:
        return 0.0
    found = abs(one - other) / max(abs(one), abs(other))
    return found if math.isfinite(found) else math.inf
