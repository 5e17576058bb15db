"""What processes of one host do together, without TensorFlow."""

from kerascale.strategies.shared_memory.part_layout import DTYPES, ROW_DTYPES
from kerascale.strategies.shared_memory.peers import PeerError, Peers
from kerascale.strategies.shared_memory.shared_sum import SharedSum

__all__ = ["DTYPES", "ROW_DTYPES", "PeerError", "Peers", "SharedSum"]
