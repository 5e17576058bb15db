"""Modes in which `fit` may execute steps."""

import dataclasses
import math
from typing import Literal

Kind = Literal["loop", "one_program", "split", "compiled"]

# An execution takes about that long: between two of them a request to stop is seen,
# and progress is shown.
EXECUTION_SECONDS = 1.0
# To begin and end an execution costs some milliseconds.
_MOST_STEPS = 1024

_OF_LOOPS = {
    "loop": "",
    "split": ", each split over the cores",
    "compiled": ", each compiled by XLA",
}


@dataclasses.dataclass(frozen=True)
class Mode:
    """How steps are executed.

    Args:
        kind: `loop`: one after the other in one call; `one_program`: XLA compiles the
            steps of an execution as one program; `split`: a loop in which the batch
            of each step is split into a program of XLA for each core; `compiled`: a
            loop in which XLA compiles what each replica computes in a step.
        steps: Steps in an execution.
        as_one: Whether logical devices of one processor compute a batch as a whole; of
            other devices it says nothing.
        most: Steps of an execution of about the right length, however many an epoch
            has; 0: not measured.
    """

    kind: Kind
    steps: int
    as_one: bool = False
    most: int = dataclasses.field(default=0, compare=False)

    def of_epochs(self, steps_per_epoch: int) -> "Mode":
        """The same for data of another length, where no program has to be compiled."""
        if not self.most or self.kind == "one_program":
            return self
        return dataclasses.replace(self, steps=even(self.most, steps_per_epoch))

    def __str__(self) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        if self.kind == "one_program":
            return f"one XLA program of {steps}"
        if (self.kind, self.steps) == ("loop", 1):
            return "step by step"
        return f"a loop of {steps}{_OF_LOOPS[self.kind]}"


def most_steps(seconds: float) -> int:
    """Steps of an execution of about the right length, of one that takes so long."""
    return int(EXECUTION_SECONDS / seconds)


def even(most: int, steps_per_epoch: int) -> int:
    """Steps of an execution, so that those of an epoch are about equal.

    Args:
        most: In an execution.
        steps_per_epoch: Of the data.
    """
    steps = steps_per_epoch
    executions = math.ceil(steps / max(1, min(most, _MOST_STEPS, steps)))
    return math.ceil(steps / executions)
