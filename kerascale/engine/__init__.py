"""The step engine: what one optimizer step does, on any number of replicas."""

from kerascale.engine.model import Model
from kerascale.engine.scaling import scale

__all__ = ["Model", "scale"]
