"""Checkpoints of a run: written whole, verified when they are read."""

from kerascale.runs.checkpoint.contents import look
from kerascale.runs.checkpoint.peers import PartStore, Peers
from kerascale.runs.checkpoint.safety import (
    refuse_unsafe_keras_file,
    refuse_unsafe_saved_model,
    refuse_unsafe_weights,
    scan_saved_model,
)
from kerascale.runs.checkpoint.store import Checkpoint, Skipped, Store
from kerascale.runs.checkpoint.writer import Writer

__all__ = [
    "Checkpoint",
    "PartStore",
    "Peers",
    "Skipped",
    "Store",
    "Writer",
    "look",
    "refuse_unsafe_keras_file",
    "refuse_unsafe_saved_model",
    "refuse_unsafe_weights",
    "scan_saved_model",
]
