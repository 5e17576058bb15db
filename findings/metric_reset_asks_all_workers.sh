#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU), keras 3.15.1
#
# Under `MultiWorkerMirroredStrategy` Keras' `Metric.reset_state()` sends messages between
# the workers: it assigns zeros to variables of which each replica has its own, and
# TensorFlow's `assign` returns the value over all replicas, which is a collective. Keras
# drops that value, but in eager execution it has been computed by then. So each variable of
# each metric costs a round of messages (4 ms between two processes of one host) at the
# beginning of every epoch and every evaluation, and a worker that resets a metric alone
# waits for the others. `assign(..., read_value=False)` sends nothing.
#
# Seen: traced, `Mean.reset_state()` has 2 collectives, for its 2 variables; the same
# assignments without the value have none.

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
export TF_CPP_MIN_LOG_LEVEL=3 no_grpc_proxy=127.0.0.1

cat > program.py <<'PROGRAM'
import keras
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    metric = keras.metrics.Mean()


def collectives(function):
    # Traced, not run: nothing is sent.
    graph = tf.function(function).get_concrete_function().graph
    names = [op.type for op in graph.get_operations()]
    for inner in graph.as_graph_def().library.function:
        names += [node.op for node in inner.node_def]
    return sum(name.startswith("CollectiveReduce") for name in names)


def quietly():
    for variable in metric.variables:
        variable.value.assign(tf.zeros([]), read_value=False)


print(collectives(metric.reset_state), collectives(quietly), len(metric.variables))
PROGRAM
ports=$("$python" -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
read -r first second <<< "$ports"
hosts="\"127.0.0.1:$first\",\"127.0.0.1:$second\""
for index in 1 0; do
  export TF_CONFIG="{\"cluster\":{\"worker\":[$hosts]},\
\"task\":{\"type\":\"worker\",\"index\":$index}}"
  "$python" program.py > "seen.$index" 2> "log.$index" &
done
wait
seen=$(cat seen.0)
[[ -n $seen ]] || { cat log.0 >&2; exit 1; }
echo "collectives of reset_state, without the value, and variables: $seen"
if [[ $seen != "2 0 2" ]]; then
  echo "CHANGED: expected 2 0 2"
  exit 1
fi
