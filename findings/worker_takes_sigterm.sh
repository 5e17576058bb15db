#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# Creating a `MultiWorkerMirroredStrategy` (here: one worker, on the loopback interface)
# starts a server that takes SIGTERM for itself, beneath Python. From then on a handler
# that was set with `signal.signal` before is never called, although `signal.getsignal`
# still names it: a SIGTERM is swallowed and the process runs on. To set the very same
# handler once more brings it back.
#
# Seen: handled before the strategy: 1 of 1; after it: 0 of 1, `getsignal` is still the
# handler; after `signal.signal(SIGTERM, signal.getsignal(SIGTERM))`: 1 of 1.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
fi
export TF_CPP_MIN_LOG_LEVEL=3

cat > program.py <<'PROGRAM'
import json
import os
import signal
import socket
import sys
import time

import tensorflow as tf

received = []


def handler(number, frame):
    received.append(number)


def handled():
    received.clear()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.5)
    return len(received)


signal.signal(signal.SIGTERM, handler)
before = handled()

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    worker = f"127.0.0.1:{free.getsockname()[1]}"
task = {"type": "worker", "index": 0}
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": [worker]}, "task": task})
strategy = tf.distribute.MultiWorkerMirroredStrategy()

after = handled()
named = signal.getsignal(signal.SIGTERM) is handler
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
again = handled()
print(f"SIGTERM handled before the strategy: {before}")
print(f"after it: {after}; getsignal still names the handler: {named}")
print(f"after the same handler was set again: {again}")
if (before, after, named, again) != (1, 0, True, 1):
    sys.exit("CHANGED: expected 1, then 0 and True, then 1")
PROGRAM
"$python" program.py
