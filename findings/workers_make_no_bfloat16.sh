#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# `MultiWorkerMirroredStrategy` on CPUs makes no variables of bfloat16, nor of int8,
# uint8, int16 and uint32: the broadcast of a variable's first value does not know these
# types. float16, which has the same size as bfloat16, goes. So a model whose variables
# are bfloat16 (`keras.config.set_floatx("bfloat16")`) trains on one host, under
# `MirroredStrategy`, and not on two workers.
#
# Seen: InvalidArgumentError, "Value for attr 'T' of bfloat16 is not in the list of
# allowed values: bool, float, half, double, int32, int64".

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check tensorflow==2.21.0
fi
export TF_CPP_MIN_LOG_LEVEL=3

cat > program.py <<'PROGRAM'
import json
import os
import socket
import subprocess
import sys

DTYPES = ("float32", "float16", "int32", "bfloat16", "int8", "uint8", "int16", "uint32")
if len(sys.argv) == 1:
    servers = [socket.create_server(("", 0)) for _ in range(2)]
    workers = [f"localhost:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    started = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": workers}, "task": task})
        environ = {**os.environ, "TF_CONFIG": config}
        command = [sys.executable, __file__, "worker"]
        out = subprocess.PIPE if index == 0 else subprocess.DEVNULL
        started.append(
            subprocess.Popen(
                command, env=environ, stdout=out, stderr=subprocess.DEVNULL, text=True
            )
        )
    text = started[0].communicate(timeout=300)[0]
    started[1].wait(timeout=300)
    print(text, end="")
    found = dict(line.split(": ", 1) for line in text.splitlines())
    good = [dtype for dtype, what in found.items() if what == "made"]
    known = all("list of allowed values" in found[d] for d in DTYPES if d not in good)
    if set(found) != set(DTYPES) or good != list(DTYPES[:3]) or not known:
        sys.exit("CHANGED: expected float32, float16 and int32 alone to be made")
else:
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for dtype in DTYPES:
        try:
            with strategy.scope():
                tf.Variable(tf.zeros((2,), dtype))
            what = "made"
        except tf.errors.InvalidArgumentError as error:
            place = str(error).find("not in the list of allowed values")
            what = str(error)[place:].split("\n")[0] if place >= 0 else "another error"
        print(f"{dtype}: {what}", flush=True)
PROGRAM
"$python" program.py
