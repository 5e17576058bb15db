"""Modes in which `fit` may execute steps."""

import dataclasses
from typing import Literal

Kind = Literal["loop", "one_program", "split"]


@dataclasses.dataclass(frozen=True)
class Mode:
    """How steps are executed.

    Args:
        kind: `loop`: one after the other in one call; `one_program`: XLA compiles the
            steps of an execution as one program; `split`: a loop in which the batch
            of each step is split into a program of XLA for each core.
        steps: Steps in an execution.
    """

    kind: Kind
    steps: int

    def __str__(self) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        if self.kind == "one_program":
            return f"one XLA program of {steps}"
        if (self.kind, self.steps) == ("loop", 1):
            return "step by step"
        text = f"a loop of {steps}"
        return f"{text}, each split over the cores" if self.kind == "split" else text
