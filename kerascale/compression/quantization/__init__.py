"""Quantization while a model trains: it learns what integers of 8 bits can say."""

from kerascale.compression.quantization.callback import QuantizeAware
from kerascale.compression.quantization.ranges import Ranges

__all__ = ["QuantizeAware", "Ranges"]
