"""A task of SkyPilot: one process of kerascale on each node."""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

from kerascale._version import __version__

PORT = 12345
_RUN = """\
# Each node's place, from what SkyPilot tells it.
export TF_CONFIG=$(python3 - <<'PYTHON'
import json, os
hosts = os.environ["SKYPILOT_NODE_IPS"].split()
workers = [f"{{host}}:{port}" for host in hosts]
task = {{"type": "worker", "index": int(os.environ["SKYPILOT_NODE_RANK"])}}
print(json.dumps({{"cluster": {{"worker": workers}}, "task": task}}))
PYTHON
)
exec {train}
"""


@dataclasses.dataclass(frozen=True)
class Task:
    """What SkyPilot should run.

    Args:
        name: Of the task.
        nodes: How many.
        accelerators: Of each node, such as `A100:1`; None: CPUs.
        bucket: Mounted at the run folder's parent, such as `s3://mine`; None: runs
            stay on the nodes.
        command: `train RECIPE ...`, with its run folder.
    """

    name: str
    nodes: int
    accelerators: str | None
    bucket: str | None
    command: Sequence[str]


def task(asked: Task) -> dict[str, Any]:
    """The task, as its file has it."""
    train = shlex.join(["python3", "-m", "kerascale", *asked.command])
    resources: dict[str, Any] = {"use_spot": True}
    if asked.accelerators:
        resources["accelerators"] = asked.accelerators
    extra = "[and-cuda]" if asked.accelerators else ""
    content: dict[str, Any] = {
        "name": asked.name,
        "num_nodes": asked.nodes,
        "resources": resources,
        "setup": f"python3 -m pip install 'kerascale{extra}=={__version__}'\n",
        "run": _RUN.format(port=PORT, train=train),
    }
    if asked.bucket:
        content["file_mounts"] = {
            "~/sky_workdir/runs": {"source": asked.bucket, "mode": "MOUNT"}
        }
    return content
