"""What processes of one host do together, without TensorFlow."""

from kerascale.same_host.peers import PeerError, Peers
from kerascale.same_host.shared_sum import DTYPES, SharedSum

__all__ = ["DTYPES", "PeerError", "Peers", "SharedSum"]
