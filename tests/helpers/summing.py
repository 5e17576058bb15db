"""A process that sums arrays with others; it is told what to do by lines of JSON.

    python summing.py RANK NUM_RANKS PATIENCE_SECONDS

It answers each line with one: its address, why it cannot connect, then sums.
"""

import hashlib
import json
import sys

import numpy as np

from kerascale.strategies.shared_memory import PeerError, Peers, SharedSum


def arrays(rank, seed, layout):
    """What a rank brings to a sum.

    Args:
        rank: The rank.
        seed: Of this sum.
        layout: (dtype, shape) of each array.
    """
    random = np.random.default_rng([seed, rank])
    return [random.standard_normal(shape).astype(dtype) for dtype, shape in layout]


def fewer(rank, brought):
    """As many rows on the first rank, and on each other one some less."""
    return [each[: max(0, len(each) - rank)] for each in brought]


def digest(summed):
    """What tells whether two have the same bits."""
    found = hashlib.sha256()
    for array in summed:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def main():
    rank, num_ranks, patience = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    peers = Peers(rank, num_ranks, patience)
    tell(peers.address)
    tell(peers.connect(json.loads(sys.stdin.readline())))
    sys.stdin.readline()
    peers.close_doors()
    add = SharedSum(peers)
    held = []
    for line in sys.stdin:
        message = json.loads(line)
        own = arrays(rank, message["seed"], message["layout"])
        if message.get("rows"):
            own = fewer(rank, own)
        try:
            if message.get("rows"):
                summed = add.rows(own)
            elif message.get("swap"):
                theirs = arrays(1 - rank, message["seed"], message["layout"])
                half = len(own) // 2
                given, like = own[:half], theirs[half:]
                if rank:
                    given, like = own[half:], theirs[:half]
                found = add.swap(given, [(a.dtype.name, a.shape) for a in like])
                same = all(map(np.array_equal, found, like))
                summed = [np.array([same])]
            elif message.get("own_sum"):
                pairs = zip(own, add.of_other(own), strict=True)
                summed = [np.asarray(a + b) for a, b in pairs]
            else:
                summed = add(own)
        except PeerError as error:
            tell({"error": str(error)})
            continue
        held.append(summed)
        del held[: -message.get("hold", 1)]
        tell({"digests": [digest(each) for each in held]})


def tell(value):
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    assert "tensorflow" not in sys.modules
    main()
