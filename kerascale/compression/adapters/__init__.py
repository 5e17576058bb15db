"""Adapters: a trained model learns something else with few numbers (LoRA)."""

from kerascale.compression.adapters.adapting import adapt, merge
from kerascale.compression.adapters.file import load, save

__all__ = ["adapt", "load", "merge", "save"]
