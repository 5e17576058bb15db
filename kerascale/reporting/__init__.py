"""What a person sees of finished runs: a page about one, and several side by side."""

from kerascale.reporting.comparison import Comparison, compare
from kerascale.reporting.run_record import Recorded, read

__all__ = ["Comparison", "Recorded", "compare", "read"]
