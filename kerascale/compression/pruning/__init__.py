"""Pruning: small weights become zero while a model trains, or whole units go."""

from kerascale.compression.pruning.callback import Pruning
from kerascale.compression.pruning.cut import cut

__all__ = ["Pruning", "cut"]
