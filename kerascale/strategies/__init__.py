"""Where a model trains: `tf.distribute` strategies, clusters, memory of one host."""

from kerascale.strategies.select import DEVICES, NAMES, describe, get, name_of

__all__ = ["DEVICES", "NAMES", "describe", "get", "name_of"]
