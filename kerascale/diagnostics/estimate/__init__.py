"""What a training will need, before it is begun: memory, disk, steps."""

from kerascale.diagnostics.estimate.estimate import estimate
from kerascale.diagnostics.estimate.result import Estimate

__all__ = ["Estimate", "estimate"]
