"""Forms in which `fit` may execute steps."""

import dataclasses
from typing import Literal

Kind = Literal["loop", "one_program", "split"]


@dataclasses.dataclass(frozen=True)
class Form:
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
        if self.kind == "one_program":
            return f"one XLA program of {self.steps} steps"
        text = f"a loop of {self.steps} steps"
        return f"{text}, each split over the cores" if self.kind == "split" else text
