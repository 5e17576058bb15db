"""Distillation: a model learns from the answers of another one, beside the labels."""

from kerascale.compression.distillation.distill import distill
from kerascale.compression.distillation.hints import Hint
from kerascale.compression.distillation.teacher import Teacher

__all__ = ["Hint", "Teacher", "distill"]
