"""Optimizers, learning-rate schedules and constraints, from a configuration."""

from kerascale.optimizers.compile_task import compile_for_task
from kerascale.optimizers.factory import (
    compile_classifier,
    layer_options,
    make_optimizer,
)
from kerascale.optimizers.schedules import Lowered, WarmUp, make_schedule

__all__ = [
    "Lowered",
    "WarmUp",
    "compile_classifier",
    "compile_for_task",
    "layer_options",
    "make_optimizer",
    "make_schedule",
]
