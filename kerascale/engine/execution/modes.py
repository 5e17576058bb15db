"""Modes in which `fit` may execute steps."""

import dataclasses
from typing import Literal

Kind = Literal["loop", "one_program", "split", "compiled"]

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
    """

    kind: Kind
    steps: int
    as_one: bool = False

    def __str__(self) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        if self.kind == "one_program":
            return f"one XLA program of {steps}"
        if (self.kind, self.steps) == ("loop", 1):
            return "step by step"
        return f"a loop of {steps}{_OF_LOOPS[self.kind]}"
