"""Shell scripts that train on a pod of TPU VMs with `gcloud`."""

import dataclasses
import shlex
from collections.abc import Sequence

from kerascale._version import __version__

START, WORKER = "start.sh", "worker.sh"


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod of TPU VMs.

    Args:
        name: Of the TPU.
        zone: Where it is.
        command: `train RECIPE ...`, with its run folder.
    """

    name: str
    zone: str
    command: Sequence[str]


def scripts(pod: Pod) -> dict[str, str]:
    """File name -> text.

    `TPUStrategy` drives all hosts of a pod from one process, on its first host: each
    other host runs TensorFlow's server, which the TPU VM starts, and whose address
    `TPUClusterResolver` takes from the metadata.
    """
    train = shlex.join(["python3", "-m", "kerascale", *pod.command])
    name, zone = shlex.quote(pod.name), shlex.quote(pod.zone)
    worker = f"""\
#!/bin/bash
# Run on each host of the pod. This script was never run on a TPU.
set -euo pipefail
metadata=http://metadata.google.internal/computeMetadata/v1/instance/attributes
about() {{
  curl --fail --silent --retry 5 --header 'Metadata-Flavor: Google' "$metadata/$1"
}}
index=$(about agent-worker-number)
# `kind:port:address` of each host, separated by commas.
hosts=$(about worker-network-endpoints | tr ',' '\\n' | cut -d: -f3)
count=$(wc -l <<<"$hosts")
python3 -m pip install --quiet 'kerascale=={__version__}'
echo "host $index of $count: $(sed -n "$((index + 1))p" <<<"$hosts")"
if [ "$index" != 0 ]; then
  exit 0 # TensorFlow's server runs here already.
fi
export TPU_NAME={name}
if [ "$count" -gt 1 ]; then
  export TPU_LOAD_LIBRARY=0 # The chips are reached through the servers of all hosts.
  exec {train} --strategy tpu --tpu "$TPU_NAME"
fi
exec {train} --strategy tpu --tpu local
"""
    start = f"""\
#!/bin/bash
# Copies {WORKER} to each host of the TPU and runs it there. Never run on a TPU.
set -euo pipefail
cd "$(dirname "$0")"
gcloud compute tpus tpu-vm scp {WORKER} {name}:{WORKER} --zone={zone} --worker=all
gcloud compute tpus tpu-vm ssh {name} --zone={zone} --worker=all \\
  --command='bash {WORKER}'
"""
    return {START: start, WORKER: worker}
