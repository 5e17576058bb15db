"""A process of a federation without TensorFlow: clients add their number.

The first one ends its process, the second one raises, the third never answers.
"""

import os
import signal
import sys
import time

from kerascale.trust.federated import frames


def main():
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    frames.read(incoming)
    frames.write(outgoing, {"is": "ready"})
    while True:
        try:
            job, weights = frames.read(incoming)
        except EOFError:
            return
        if job["client"] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if job["client"] == 1:
            frames.write(outgoing, {"is": "failed", "reason": "ValueError: no"})
            continue
        if job["client"] == 2:
            time.sleep(100)
        added = {name: value + job["client"] for name, value in weights.items()}
        frames.write(outgoing, {"is": "trained", "loss": 1.0}, added)


main()
