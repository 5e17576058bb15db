"""What a person sees of finished runs: a page about one, and several side by side."""

from kerascale.reporting.comparing import Comparison, compare
from kerascale.reporting.recorded import Recorded, read

__all__ = ["Comparison", "Recorded", "compare", "read"]
