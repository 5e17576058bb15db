"""When a run is saved, and what is done with a run folder that holds a run."""

import dataclasses
from typing import Annotated, Any, Literal

from kerascale.config.fields import (
    Limits,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    check,
)
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointPolicy:
    """The one place that declares it: the flags of `kerascale train` are its fields.

    Raises:
        RefusedError: On construction, naming every field with an impossible value.
    """

    fresh: bool = False
    """Begin anew where --run-dir holds a run; the old folder is renamed."""
    resume_from: str | None = None
    """Begin with the state of another run: its folder, or FOLDER:STEP."""
    allow_changes: tuple[str, ...] = ()
    """Fields that may differ from those of the run that goes on in --run-dir."""
    save_every_steps: PositiveInt | None = None
    """Batches between two saves of the state, beside those after each epoch."""
    save_every_seconds: PositiveFloat | None = 600.0
    """Seconds between two saves of the state; None: no such saves."""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest saved states stay."""
    keep_every_steps: PositiveInt | None = None
    """States of steps that can be divided by it stay for good."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """When the loss or a weight becomes NaN or infinite: stop, or go back to the
    newest saved state with a lower learning rate."""
    max_rollbacks: NonNegativeInt = 3
    """How often a run may go back."""
    rollback_factor: Annotated[float, Limits(above=0, below=1)] = 0.5
    """What the learning rate is multiplied by each time."""
    on_save_failure: Literal["continue", "stop"] = "continue"
    """When the state cannot be saved, such as on a full disk: go on, or stop."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading="checkpoints")


# What fields were called in version 0.1.0.
_FORMER_NAMES = {
    "every_steps": "save_every_steps",
    "every_seconds": "save_every_seconds",
    "keep": "keep_checkpoints",
    "keep_every": "keep_every_steps",
}


def Checkpoints(**fields: Any) -> CheckpointPolicy:
    """The former name of `CheckpointPolicy`, with the former names of its fields."""
    return CheckpointPolicy(
        **{_FORMER_NAMES.get(name, name): value for name, value in fields.items()}
    )
