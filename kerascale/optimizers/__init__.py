"""Optimizers, learning-rate schedules and constraints, from a configuration."""

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
    "layer_options",
    "make_optimizer",
    "make_schedule",
]
