"""Operations over the global batch, for losses, metrics and layers on any hardware."""

from kerascale.ops.across import gather, global_mean

__all__ = ["gather", "global_mean"]
