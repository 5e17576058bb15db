"""Configurations: their fields, the recipes that have them, where values came from."""

from kerascale.config.checkpoint_policy import CheckpointPolicy, Checkpoints
from kerascale.config.fields import (
    Limits,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Share,
)
from kerascale.config.tasks import TASKS, Task
from kerascale.config.training_config import (
    AllReduceDtype,
    Execution,
    ImageConfig,
    Initializer,
    Optimizer,
    Schedule,
    TrainingConfig,
)

__all__ = [
    "TASKS",
    "AllReduceDtype",
    "CheckpointPolicy",
    "Checkpoints",
    "Execution",
    "ImageConfig",
    "Initializer",
    "Limits",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Optimizer",
    "PositiveFloat",
    "PositiveInt",
    "Schedule",
    "Seed",
    "Share",
    "Task",
    "TrainingConfig",
]
