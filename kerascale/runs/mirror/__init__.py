"""A run in an object store: copied while it is trained, and brought back."""

from kerascale.runs.mirror.download import fetch
from kerascale.runs.mirror.upload import Mirror

__all__ = ["Mirror", "fetch"]
