"""What processes of one host do together, without TensorFlow."""

from kerascale.strategies.shared_memory.peers import PeerError, Peers
from kerascale.strategies.shared_memory.shared_sum import DTYPES, SharedSum

__all__ = ["DTYPES", "PeerError", "Peers", "SharedSum"]
